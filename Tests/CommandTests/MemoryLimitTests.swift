import Datasets
import Foundation
import JSON
import TestSupport
import Testing

@Suite("Memory that there cannot be", .serialized) struct MemoryLimitTests {
  private let bench: Workbench
  /// 4,000 rows of 14 tokens, which a micro-batch may hold together.
  private var data: String { bench.path("many.h5") }

  init() throws {
    bench = try Workbench()
    let writer = try TokenDatasetWriter(path: bench.path("many.h5"), vocabularySize: 53)
    for row in 0..<4_000 {
      try writer.append(
        tokens: (0..<14).map { UInt32((row + $0) % 53) },
        lossMask: [UInt8](repeating: 1, count: 14), to: .train)
    }
    try writer.finish()
  }

  /// - Parameter more: the command, then its own options.
  private func options(_ more: [String]) -> [String] {
    Array(more.prefix(1)) + [
      "--model", bench.model, "--data", data, "--max-steps", "1", "--threads", "1",
      "--micro-batch-size", "4000", "--global-batch-size", "4000",
    ] + Array(more.dropFirst())
  }

  /// Runs the program where a process may have 3 GB of addresses.
  private func limited(ranks: Int = 1, _ arguments: [String]) throws -> ProcessResult {
    let shell = URL(fileURLWithPath: "/bin/sh")
    let script = ["-c", "ulimit -v 3000000; exec \"$0\" \"$@\"", Workbench.program.path]
    return ranks == 1
      ? try ProcessRunner.run(shell, script + arguments)
      : try ProcessRunner.mpirun(ranks: ranks, shell, script + arguments)
  }

  private func plan(_ result: ProcessResult) throws -> JSONValue {
    try #require(result.status == 0, "\(result.status) \(result.errors)")
    return try JSONValue(parsing: Data(result.output.utf8))
  }

  /// What `train` says of an adapter of rank `r` that it refuses, with each of `parts` in it.
  private func refusal(ranks: Int, r: String, naming parts: [String]) throws -> String {
    let train = ["train", "--output-dir", bench.path("out"), "--r", r]
    let result = try limited(ranks: ranks, options(train))
    #expect(result.status == 64, "\(result.status) \(result.errors)")
    for part in parts + ["'ulimit -v' allows"] {
      #expect(result.errors.contains(part), "\(result.errors)")
    }
    return result.errors
  }

  @Test("Activations beyond a limit are refused before they are asked for", arguments: [1, 2])
  func activations(ranks: Int) throws {
    let said = try refusal(
      ranks: ranks, r: "4096", naming: ["of activations", "What would fit:", "--micro-batch-size"])
    #expect(said.components(separatedBy: "would need").count == 2, "\(said)")
  }

  @Test("So are values, gradients and moments", arguments: [1, 2])
  func arena(ranks: Int) throws {
    _ = try refusal(
      ranks: ranks, r: "2097152", naming: ["of gradients", "of moments", "fewer weights"])
  }

  @Test("A plan with --flops allocates nothing, whatever it plans")
  func planned() throws {
    let asked = ["plan", "--json", "--flops", "1000", "--node-memory", "64", "--r", "1048576"]
    let plan = try plan(try limited(options(asked)))
    #expect(plan["workspace_bytes"]?.int ?? 0 > 200 << 30)
    #expect(plan["training_bytes"]?.int ?? 0 > 3 << 30)
    #expect(plan["fits"]?.bool == false)
    #expect(plan["seconds_per_step"]?.double ?? 0 > 0)
    let problem = try #require(plan["problems"]?.array?.first?.string)
    #expect(problem.contains("--micro-batch-size"), "\(problem)")
  }

  @Test("A plan without it says the memory and leaves times open where a rank does not fit here")
  func unmeasured() throws {
    let asked = ["plan", "--node-memory", "64", "--r", "1048576"]
    let plan = try plan(try limited(options(asked + ["--json"])))
    #expect(plan["workspace_bytes"]?.int ?? 0 > 200 << 30)
    #expect(plan["seconds_per_step"] == JSONValue.null && plan["fits"]?.bool == false)
    let result = try limited(options(asked + ["--scaling-table", "--ranks", "8"]))
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("A node needs"), "\(result.output)")
    #expect(result.output.contains("not measured here: --flops"), "\(result.output)")
    #expect(result.errors.contains("nothing is measured"), "\(result.errors)")
    let lines = try limited(options(asked + ["--slurm"]))
    #expect(lines.output.contains("--mem=") && !lines.output.contains("--time="))
  }

  @Test(
    "Memory is planned as it is allocated, for every method",
    arguments: [
      ["lora", "--use-dora", "--target-modules", "all-linear"],
      ["lora", "--modules-to-save", "lm_head"], ["lora", "--init-lora-weights", "pissa"],
      ["adalora", "--total-step", "100", "--tinit", "1", "--tfinal", "1"], ["ia3"],
      ["miss", "--r", "8"], ["miss", "--r", "8", "--init-weights", "bat"],
      ["bottleneck"], ["prompt-tuning"], ["prefix-tuning"],
      ["prefix-tuning", "--prefix-projection"], ["p-tuning"],
      ["llama-adapter", "--adapter-layers", "1"], ["full"],
      ["lora", "--quantize-base", "q8_0"],
    ])
  func methods(options: [String]) throws {
    // Rows of the tiny model are no whole blocks; those of the demo are.
    let demo = fixturePath("../../Sources/swift-peft-train/Demo")
    let isQuantized = options.contains("--quantize-base")
    let (model, data) = isQuantized ? (demo, demo + "/demo.h5") : (bench.model, bench.data)
    let arguments =
      [
        "--model", model, "--data", data, "--threads", "1", "--max-steps", "2",
        "--global-batch-size", "5", "--method",
      ] + options
    let planned = try plan(bench.run(["plan", "--json", "--flops", "10"] + arguments))
    let allocated = try plan(bench.run(["plan", "--json"] + arguments))
    for key in [
      "base_bytes", "rounded_bytes", "workspace_bytes", "training_bytes", "threads_bytes",
      "answers_bytes", "trainable_parameters", "allreduce_bytes", "checkpoint_bytes",
    ] {
      #expect(planned[key]?.int != nil && planned[key] == allocated[key], "\(key)")
    }
    let (few, all) = (planned["rank_bytes"]?.double ?? 0, allocated["rank_bytes"]?.double ?? 0)
    // What is left is the process's own heap, which computing makes larger, by 2 to 8 MB from start to
    // start.
    #expect(abs(all - few) < Double(12 << 20), "\(few) planned, \(all) allocated")
  }
}
