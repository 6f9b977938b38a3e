import Datasets
import Foundation
import Tensors
import TestSupport
import Testing

/// The step loop of the real trainer, in a program whose allocations are counted.
@Suite("A step allocates nothing", .serialized) struct AllocationTests {
  private static let probe = ProcessRunner.built("allocation-probe")
  private let directory: TemporaryDirectory

  /// Every method, and what else a step may have to do; each some lines of YAML.
  private static func methods(on base: String) -> [(name: String, lines: [String])] {
    MethodCase.all.map { ($0.name, $0.on(base).yaml) } + [
      (
        "lora-recomputed",
        [
          "method: lora", "lora_dropout: \(Fixtures.hasExperts(base) ? 0.0 : 0.1)",
          "gradient_checkpointing: true", "target_modules: all-linear",
        ]
      ),
      (
        "lora-cut-by-tokens",
        ["method: lora", "micro_batch_tokens: 50", "target_modules: all-linear"]
      ),
      ("lora-sgd", ["method: lora", "optimizer: sgd", "target_modules: all-linear"]),
      // Ranks are dealt out in the counted steps too.
      (
        "adalora-longer",
        [
          "method: adalora", "init_r: 6", "target_r: 3", "tinit: 2", "delta_t: 2",
          "target_modules: all-linear",
        ]
      ),
    ]
  }

  init() throws {
    directory = try TemporaryDirectory()
    // A number of examples that no batch divides, of lengths that differ.
    let writer = try TokenDatasetWriter(path: directory.path("data.h5"), vocabularySize: 53)
    let random = CounterRandom(seed: 11)
    var draw: UInt64 = 0
    func next(_ bound: UInt64) -> Int {
      draw += 1
      return Int(random.integer(draw, below: bound))
    }
    for _ in 0..<17 {
      let length = 3 + next(30)
      try writer.append(
        tokens: (0..<length).map { _ in UInt32(next(53)) },
        lossMask: (0..<length).map { _ in next(10) < 7 ? 1 : 0 }, to: .train)
    }
    try writer.finish()
  }

  /// Writes a file of settings for each method; returns their paths.
  private func settings(model: String, precision: String, threads: Int) throws -> [String] {
    try Self.methods(on: URL(fileURLWithPath: model).lastPathComponent).map { name, lines in
      let path = directory.path("\(name).yaml")
      let common = [
        "model: \(model)", "data: \(directory.path("data.h5"))",
        "output_dir: \(directory.path("out-\(UUID().uuidString)"))", "precision: \(precision)",
        "threads: \(threads)", "num_epochs: 20", "global_batch_size: 6",
        lines.contains { $0.hasPrefix("micro_batch_tokens") } ? "" : "micro_batch_size: 2",
        "logging_steps: 0", "learning_rate: 1e-3", "warmup_steps: 3",
      ]
      try (common + lines).joined(separator: "\n").write(
        toFile: path, atomically: true, encoding: .utf8)
      return path
    }
  }

  /// Checks that no line of a probe counts an allocation but those of `others`.
  ///
  /// MPI allocates for its requests and cannot be told not to, so its allocations are counted apart.
  private func check(
    _ result: ProcessResult, ranks: Int, others: Set<String>,
    location: SourceLocation = #_sourceLocation
  ) {
    #expect(result.status == 0, "\(result.errors)", sourceLocation: location)
    let lines = result.outputLines
    #expect(lines.count == ranks * Self.methods(on: "llama").count, sourceLocation: location)
    for line in lines {
      let counts = line.split(separator: " ").dropFirst()
      #expect(counts.count == 3)
      for count in counts where !count.hasSuffix("=0") {
        #expect(
          others.contains(String(count.prefix { $0 != "=" })),
          "\(line)\n\(result.errors.suffix(3000))", sourceLocation: location)
      }
    }
  }

  @Test(
    "Alone, by every method, on families of unlike parts, in both precisions, on 1 and 2 threads",
    arguments: ["llama", "gpt2", "phi3", "gemma2", "qwen3_moe"], ["f32", "bf16"])
  func alone(family: String, precision: String) throws {
    for threads in [1, 2] {
      let files = try settings(
        model: fixturePath("model/\(family)"), precision: precision, threads: threads)
      let result = try ProcessRunner.run(Self.probe, files)
      check(result, ranks: 1, others: [])
    }
  }

  @Test("On two ranks, by every method, in both precisions", arguments: ["f32", "bf16"])
  func twoRanks(precision: String) throws {
    let files = try settings(model: fixturePath("model/llama"), precision: precision, threads: 2)
    let result = try ProcessRunner.mpirun(ranks: 2, Self.probe, files)
    check(result, ranks: 2, others: ["mpi"])
  }

  @Test("On the demo's base, whose weights are bf16 and matrices larger")
  func demo() throws {
    let base = ProcessRunner.built("swift-peft-train_swift-peft-train.resources/Demo").path
    let files = try settings(model: base, precision: "auto", threads: 2)
    check(try ProcessRunner.run(Self.probe, files), ranks: 1, others: [])
  }

  @Test("An allocation that is put into each step is counted, and is the program's")
  func counting() throws {
    let files = try settings(
      model: fixturePath("model/llama"), precision: "f32", threads: 1)
    let result = try ProcessRunner.run(
      Self.probe, [files[0]], environment: ["ALLOCATE_IN_EACH_STEP": "1"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains(" program=9 mpi=0 "), "\(result.output)")
    #expect(result.errors.contains("allocation-probe"), "its stack is told")
  }
}
