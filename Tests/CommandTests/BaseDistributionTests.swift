import Foundation
import TestSupport
import Testing

/// A base that some nodes read and others receive.
///
/// Nodes are ranks of this machine that share nothing.
@Suite("The base comes to nodes by reading or by messages", .serialized)
struct BaseDistributionTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// Runs with a rank or two a node, each from the directory of its rank.
  private func run(
    _ how: String, output: String, model: String? = nil, ranksPerNode: Int = 1,
    directories: [String], _ more: [String] = []
  ) throws -> ProcessResult {
    try Workbench.requireSeveralPrograms()
    var options = bench.options(output: bench.path(output)) + ["--base-distribution", how] + more
    options[1] = model ?? bench.model
    var launch: [String] = []
    for directory in directories {
      let start = ["-n", "1", "-wdir", directory, Workbench.program.path]
      launch += (launch.isEmpty ? [] : [":"]) + start + options
    }
    var environment = ProcessRunner.mpirunEnvironment
    environment["SWIFT_PEFT_TRAIN_RANKS_PER_NODE"] = "\(ranksPerNode)"
    return try ProcessRunner.run(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["mpirun", "--oversubscribe", "--bind-to", "none"] + launch, environment: environment,
      timeoutSeconds: 180)
  }

  private func adapter(_ output: String) throws -> [UInt8] {
    try bytes(of: bench.path("\(output)/adapter/adapter_model.safetensors"))
  }

  /// A copy of a fixture's model for each rank, called `model` there; those after the first have no
  /// weights.
  private func places(_ model: String, count: Int) throws -> [String] {
    let files = FileManager.default
    return try (0..<count).map { rank in
      let directory = bench.path("\(model)-\(rank)")
      try files.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try files.copyItem(atPath: fixturePath("model/\(model)"), toPath: directory + "/model")
      if rank > 0 {
        for name in try files.contentsOfDirectory(atPath: directory + "/model")
        where name.hasSuffix(".safetensors") {
          try files.removeItem(atPath: "\(directory)/model/\(name)")
        }
      }
      return directory
    }
  }

  @Test(
    "Nodes without a byte of the weights receive them, with the same adapter",
    arguments: ["llama", "llama-f16-sharded", "gpt2"])
  func receive(model: String) throws {
    let directories = try places(model, count: 3)
    let alone = try ProcessRunner.run(
      Workbench.program,
      bench.options(output: bench.path("alone")).map {
        $0 == bench.model ? fixturePath("model/\(model)") : $0
      })
    try #require(alone.status == 0, "\(alone.errors)")
    for (how, size) in [("broadcast", 1), ("broadcast", 2), ("auto", 2)] {
      // With two ranks a node the second node has one, and the first node's second rank reads too.
      var places = directories
      if size == 2 { places[1] = places[0] }
      let output = "\(how)-\(size)"
      let result = try run(
        how, output: output, model: "model", ranksPerNode: size, directories: places)
      try #require(result.status == 0, "\(result.errors)")
      let nodes = size == 1 ? 3 : 2
      #expect(
        result.errors.contains("base read by 1 of \(nodes) nodes and sent to the others"),
        "\(result.errors)")
      #expect(try adapter(output) == adapter("alone"))
    }
    let read = try run("read", output: "read", model: "model", directories: directories)
    #expect(read.status == 65 && read.errors.contains("model"), "\(read.errors)")
  }

  @Test("A received base is quantised and rounded as a read one, and once a node")
  func copies() throws {
    let model = try LargeModel("llama", at: bench.path("large"))
    let directories = [bench.path(""), bench.path("")]
    for (name, more, base) in [
      ("f32", ["--precision", "f32"], model.matrixBytes),
      ("nf4", ["--quantize-base", "nf4"], model.matrixElements * 9 / 16),
      ("bf16", ["--precision", "bf16"], model.matrixBytes / 2),
    ] {
      let options = more + ["--max-steps", "1", "--threads", "1"]
      for how in ["read", "broadcast", "auto"] {
        let result = try run(
          how, output: "\(name)-\(how)", model: model.path, directories: directories, options)
        try #require(result.status == 0, "\(result.errors)")
        if how == "auto" { #expect(result.errors.contains("took all at once"), "\(result.errors)") }
        #expect(try adapter("\(name)-\(how)") == adapter("\(name)-read"), "\(name) \(how)")
        // Nodes that read the same files on one machine share them all the same.
        if how != "broadcast" { continue }
        if name == "nf4" {
          // What is quantised is never there whole as it is stored: 4 bytes for each half.
          let peaks = try ["read", "broadcast"].map {
            try #require(
              try bench.metrics(bench.path("nf4-\($0)")).last?["peak_memory_bytes"]?.int)
          }
          #expect(peaks[1] - peaks[0] < model.matrixBytes / 4, "\(peaks) of \(model.matrixBytes)")
        }
        let end = try bench.metrics(bench.path("\(name)-\(how)")).last
        let found = try #require(end?["base_node_bytes"]?.int)
        #expect(10 * found > 9 * base && 10 * found < 11 * base, "\(name) \(how): \(found)")
      }
    }
  }

  @Test("Ranks of a node receive a base that they quantise together")
  func quantisedTogether() throws {
    let model = try LargeModel("llama", fileCount: 2, at: bench.path("large"))
    let directories = Array(repeating: bench.path(""), count: 4)
    let options = ["--quantize-base", "q8_0", "--max-steps", "1", "--threads", "1"]
    for how in ["read", "broadcast"] {
      let result = try run(
        how, output: how, model: model.path, ranksPerNode: 2, directories: directories, options)
      try #require(result.status == 0, "\(result.errors)")
      let end = try bench.metrics(bench.path(how)).last
      let found = try #require(end?["base_node_bytes"]?.int)
      let base = model.matrixElements * 17 / 16
      #expect(10 * found < 11 * base, "\(how): \(found) of \(base)")
    }
    #expect(try adapter("broadcast") == adapter("read"))
  }

  @Test("A node that must read and cannot ends the job, and is named")
  func unreadable() throws {
    let directories = try places("llama", count: 2)
    let result = try run(
      "broadcast", output: "out", model: "model", directories: Array(directories.reversed()))
    #expect(
      result.status == 65 && result.errors.contains("[rank 0/2] model has no"), "\(result.errors)")
  }
}
