// swift-tools-version: 6.2
import PackageDescription

// Every Swift target is in Swift 6 language mode (the tools version's default). Strict memory
// safety is on everywhere but in Tensors and Kernels, whose business is raw memory: above them
// the compiler then shows each `unsafe` expression, and Model, PEFT and Training hold none.
let strict: [SwiftSetting] = [.strictMemorySafety()]

// Warnings are errors in every target of ours, under the compilers that the project is built with.
// A later compiler may have warnings of its own, which must not stop a user's build.
#if compiler(<6.4)
  let warningsAreErrors = true
#else
  let warningsAreErrors = false
#endif

// A target depends only on targets of floors below it, or above it in its floor; the import check
// (`make lint`) fails the build where a file imports what its target does not declare.
let package = Package(
  name: "swift-peft-train",
  products: [
    .executable(name: "swift-peft-train", targets: ["swift-peft-train"]),
    // For other packages: adapters trained, and used, from code.
    .library(
      name: "SwiftPEFTTrain",
      targets: [
        "Training", "Preparation", "Generation", "PEFT", "Model", "Datasets", "DataParallel",
        "Tokenizers", "JSON",
      ]),
    // For tests alone: what they load before a program to make its system calls fail.
    .library(name: "fault-injector", type: .dynamic, targets: ["CFaultInjector"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Floor 0: C only.
    .target(name: "CKernels"),
    // What the benchmarks measure products against; the program does without.
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    // Opens the MPI library that is there when the program starts; none is linked.
    .target(name: "CMPI", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),

    // Floor 1: what errors are and what a run is doing, hashes, buffers, text.
    .target(name: "Diagnostics", swiftSettings: strict),
    .target(name: "Hashing", dependencies: ["CKernels"]),
    .target(name: "Tensors", dependencies: ["CKernels", "Diagnostics", "Hashing"]),
    .target(name: "JSON", swiftSettings: strict),
    // Regular expressions in the dialects that files are written in, and Unicode under them.
    .target(name: "Patterns", swiftSettings: strict),
    // Opening, writing, publishing, locking; not what is in a file.
    .target(name: "Files", dependencies: ["Diagnostics", "Tensors"], swiftSettings: strict),
    .target(
      name: "Tokenizers", dependencies: ["Patterns", "Files", "Diagnostics", "Hashing", "JSON"],
      swiftSettings: strict),
    .target(name: "Templates", dependencies: ["Diagnostics", "JSON"], swiftSettings: strict),

    // Floor 2: arithmetic, files, messages.
    .target(name: "Kernels", dependencies: ["Diagnostics", "Hashing", "Tensors", "CKernels"]),
    .target(
      name: "Safetensors", dependencies: ["Files", "JSON", "Diagnostics", "Hashing", "Tensors"],
      swiftSettings: strict),
    .target(
      name: "GGUF",
      dependencies: ["Files", "JSON", "Diagnostics", "Hashing", "Tensors", "Tokenizers"],
      swiftSettings: strict),
    .target(
      name: "HDF5", dependencies: ["CHDF5", "CZlib", "Files", "Diagnostics"],
      swiftSettings: strict),
    // The toolchain ships a module named Distributed, so ours is DataParallel.
    .target(
      name: "DataParallel", dependencies: ["CMPI", "Diagnostics", "Hashing", "Tensors"],
      path: "Sources/Distributed",
      swiftSettings: strict),

    // Floor 3: models and stored data.
    .target(
      name: "Model",
      dependencies: [
        "Kernels", "Diagnostics", "Hashing", "Tensors", "Safetensors", "GGUF", "Files", "JSON",
      ],
      swiftSettings: strict),
    .target(
      name: "Datasets", dependencies: ["Files", "HDF5", "Diagnostics", "Tensors"],
      swiftSettings: strict),
    .target(
      name: "Checkpointing", dependencies: ["Files", "HDF5", "Diagnostics", "Tensors"],
      swiftSettings: strict),

    // Floor 4: the methods, and text from a model.
    .target(
      name: "PEFT",
      dependencies: ["Model", "Kernels", "Diagnostics", "Tensors", "Patterns", "JSON"],
      swiftSettings: strict),
    .target(
      name: "Generation", dependencies: ["Model", "Kernels", "Tensors", "Files", "JSON"],
      swiftSettings: strict),

    // Tables, charts and pages of figures that others bring.
    .target(name: "Reporting", swiftSettings: strict),

    // Rows of text to datasets.
    .target(
      name: "Preparation",
      dependencies: [
        "CZlib", "Datasets", "Files", "GGUF", "HDF5", "Templates", "Tokenizers", "Diagnostics",
        "Tensors", "JSON",
      ],
      swiftSettings: strict),

    // Floor 5: the step loop.
    .target(
      name: "Training",
      dependencies: [
        "PEFT", "Model", "Kernels", "Datasets", "Checkpointing", "DataParallel", "Safetensors",
        "GGUF", "Files", "Generation", "Preparation", "Reporting", "Tokenizers", "Diagnostics",
        "Hashing", "Tensors", "JSON", .product(name: "Logging", package: "swift-log"), "Yams",
      ],
      swiftSettings: strict),

    // Floor 6: the command line.
    .executableTarget(
      name: "swift-peft-train",
      dependencies: [
        "Training", "PEFT", "Model", "Kernels", "Generation", "Preparation", "Datasets",
        "Checkpointing", "DataParallel", "Files", "GGUF", "HDF5", "Reporting", "Safetensors",
        "Tokenizers", "Diagnostics", "Tensors", "JSON",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      // The demo's base, tokenizer and task lie beside the program.
      resources: [.copy("Demo")],
      swiftSettings: strict),

    // The program of examples/library, which is a package of its own, too: what its documentation
    // shows is compiled here.
    .executableTarget(
      name: "train-from-code",
      dependencies: [
        "Training", "Preparation", "DataParallel", "JSON",
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "examples/library/Sources/train-from-code", swiftSettings: strict),

    // Benchmarks: a library that measures, a program that prints. `swift build --product
    // swift-peft-train` builds neither. Raw memory is its business as it is the kernels'.
    .target(
      name: "Benchmarking",
      dependencies: [
        "COpenBLAS", "Kernels", "DataParallel", "Datasets", "Safetensors",
        "Tokenizers", "Reporting", "Tensors", "JSON",
      ],
      path: "Benchmarks/Sources/Benchmarking"),
    .executableTarget(
      name: "benchmarks",
      dependencies: [
        "Benchmarking", "DataParallel", "JSON",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Benchmarks/Sources/benchmarks", swiftSettings: strict),

    // Tests.
    .testTarget(
      name: "BenchmarkingTests",
      dependencies: ["Benchmarking", "JSON", "TestSupport", "swift-peft-train"],
      path: "Benchmarks/Tests/BenchmarkingTests"),
    .target(name: "Mutating", dependencies: ["JSON"], path: "Tests/Mutating"),
    .target(
      name: "TestSupport", dependencies: ["Mutating", "Safetensors", "Tensors", "JSON"],
      path: "Tests/TestSupport"),
    // Reads changed files, so that a crash or hang ends a process of its own; `make fuzz` has libFuzzer
    // choose the changes.
    .systemLibrary(name: "CFuzzer", path: "Tests/CFuzzer"),
    .executableTarget(
      name: "mutation-probe",
      dependencies: [
        "CFuzzer", "Checkpointing", "Datasets", "GGUF", "Generation", "JSON", "Kernels", "Model",
        "Mutating", "PEFT", "Preparation", "Safetensors", "Templates", "Tensors", "Tokenizers",
        "Training",
      ],
      path: "Tests/MutationProbe"),
    // What the tests of DataParallel start under mpirun.
    .executableTarget(
      name: "mpi-probe", dependencies: ["DataParallel", "Diagnostics", "Hashing", "Tensors"],
      path: "Tests/MPIProbe"),
    // Runs of the trainer whose ranks differ in a way that no option asks for.
    .executableTarget(
      name: "training-probe",
      dependencies: [
        "Training", "DataParallel", "Diagnostics", "Hashing", "Tensors",
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Tests/TrainingProbe"),
    // Counts the allocations of the program that links it, and that program: the step loop,
    // counted.
    .target(name: "CAllocationCounter", path: "Tests/AllocationCounter"),
    .target(name: "CFaultInjector", path: "Tests/FaultInjector"),
    .executableTarget(
      name: "allocation-probe",
      dependencies: [
        "Training", "DataParallel", "CAllocationCounter",
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Tests/AllocationProbe"),
    .testTarget(name: "DiagnosticsTests", dependencies: ["Diagnostics"]),
    .testTarget(name: "HashingTests", dependencies: ["Hashing", "TestSupport"]),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors", "Hashing", "TestSupport"]),
    .testTarget(
      name: "FilesTests", dependencies: ["Files", "Diagnostics", "Hashing", "TestSupport"]),
    .testTarget(name: "JSONTests", dependencies: ["JSON", "TestSupport"]),
    .testTarget(name: "PatternsTests", dependencies: ["Patterns", "JSON", "TestSupport"]),
    .testTarget(name: "ReportingTests", dependencies: ["Reporting"]),
    // Every kernel on inputs that are the same everywhere; scripts/same-bits.sh builds it, too.
    .target(name: "CKernelProbe", dependencies: ["CKernels"], path: "Tests/KernelProbe"),
    .testTarget(
      name: "KernelsTests",
      dependencies: [
        "Kernels", "CKernels", "CKernelProbe", "JSON", "Hashing", "Tensors", "TestSupport",
      ]),
    .testTarget(
      name: "SafetensorsTests",
      dependencies: ["Safetensors", "JSON", "Diagnostics", "Tensors", "TestSupport"]),
    .testTarget(
      name: "GGUFTests",
      dependencies: ["GGUF", "JSON", "Tokenizers", "TestSupport"]),
    .testTarget(
      name: "TokenizersTests", dependencies: ["Tokenizers", "Diagnostics", "JSON", "TestSupport"]),
    .testTarget(
      name: "TemplatesTests", dependencies: ["Templates", "JSON", "TestSupport"]),
    .testTarget(name: "HDF5Tests", dependencies: ["HDF5", "Diagnostics", "TestSupport"]),
    .testTarget(
      name: "DatasetsTests",
      dependencies: ["Datasets", "HDF5", "Diagnostics", "Tensors", "TestSupport"]),
    .testTarget(
      name: "PreparationTests",
      dependencies: ["Preparation", "Datasets", "HDF5", "Diagnostics", "JSON", "TestSupport"]),
    .testTarget(
      name: "CheckpointingTests",
      dependencies: ["Checkpointing", "Files", "HDF5", "Diagnostics", "Tensors", "TestSupport"]),
    .testTarget(
      name: "DataParallelTests",
      dependencies: ["DataParallel", "Diagnostics", "Tensors", "TestSupport", "mpi-probe"]),
    .testTarget(
      name: "ModelTests",
      dependencies: ["Model", "Kernels", "Safetensors", "Tensors", "JSON", "TestSupport"]),
    .testTarget(
      name: "PEFTTests",
      dependencies: [
        "PEFT", "Model", "GGUF", "Kernels", "Safetensors", "Diagnostics", "Tensors", "JSON",
        "TestSupport",
      ]),
    .testTarget(
      name: "GenerationTests",
      dependencies: ["Generation", "Model", "Kernels", "Tensors", "TestSupport"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Training", "PEFT", "Model", "Kernels", "Datasets", "Checkpointing", "DataParallel",
        "Files", "GGUF", "Diagnostics", "Hashing", "Tensors", "JSON", "TestSupport",
      ]),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "Training", "PEFT", "Preparation", "Templates", "Datasets", "Safetensors", "Tokenizers",
        "Diagnostics", "Tensors", "JSON", "TestSupport", "swift-peft-train", "allocation-probe",
        "mutation-probe", "training-probe", "train-from-code",
      ]),
  ],
  cLanguageStandard: .gnu11
)

for target in package.targets {
  switch target.type {
  case .system, .plugin, .binary, .macro: continue
  default: break
  }
  let hasOnlyC = ["CKernels", "CMPI", "CAllocationCounter"].contains(target.name)
  if hasOnlyC {
    target.cSettings =
      (target.cSettings ?? []) + [.enableWarning("all"), .enableWarning("extra")]
      + (warningsAreErrors ? [.treatAllWarnings(as: .error)] : [])
  } else if warningsAreErrors {
    target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
  }
}
