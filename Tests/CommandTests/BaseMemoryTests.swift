import Foundation
import JSON
import TestSupport
import Testing

/// One base a node, whatever it is stored in and computed in.
@Suite("The base is in a node's memory once", .serialized)
struct BaseMemoryTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func options(_ model: String, _ output: String) -> [String] {
    NodeMemory.options(bench, model: model, output: output)
  }

  /// What the run says that the base takes.
  private func measured(
    ranks: Int, _ model: String, _ more: [String], output: String,
    environment: [String: String] = [:]
  ) throws -> Int {
    let result = try ProcessRunner.mpirun(
      ranks: ranks, Workbench.program, options(model, output) + ["--max-steps", "2"] + more,
      environment: environment)
    try #require(result.status == 0, "\(result.errors)")
    #expect(result.errors.contains("of a node's memory, measured"))
    return try #require(try bench.metrics(bench.path(output)).last?["base_node_bytes"]?.int)
  }

  private func expect(_ found: Int, _ base: Int, _ what: String) {
    #expect(
      10 * found > 9 * base && 10 * found < 11 * base, "\(what): \(found) for a base of \(base)")
  }

  @Test(
    "Stored in f32 or bf16, in shards, quantised, rounded, turned, in GGUF: one base for 3 ranks")
  func formats() throws {
    let llama = try LargeModel("llama", at: bench.path("llama"))
    func run(_ model: LargeModel, _ base: Int, _ what: String, _ more: String...) throws {
      let output = what.replacing(" ", with: "-")
      expect(try measured(ranks: 3, model.path, more, output: output), base, what)
    }
    try run(llama, llama.matrixBytes, "stored in f32", "--precision", "f32")
    // The table is read as it is stored; its 53 rows are nothing.
    try run(llama, llama.matrixBytes / 2, "rounded to bf16", "--precision", "bf16")
    try run(llama, llama.matrixElements * 9 / 16, "quantised to nf4", "--quantize-base", "nf4")
    let sharded = try LargeModel("llama", .bfloat16, fileCount: 2, at: bench.path("sharded"))
    try run(sharded, sharded.matrixBytes, "bf16 in shards", "--precision", "f32")
    let turned = try LargeModel("gpt2", at: bench.path("gpt2"))
    try run(turned, turned.matrixBytes, "GPT-2 in f32", "--precision", "f32")
    try run(turned, turned.matrixBytes / 2, "GPT-2 in bf16", "--precision", "bf16")

    let gguf = bench.path("model.gguf")
    let merged = try bench.run([
      "merge", "--model", llama.path, "--adapter", bench.path("stored-in-f32/adapter"),
      "--output-dir", gguf, "--to", "gguf", "--dtype", "q8_0",
    ])
    try #require(merged.status == 0, "\(merged.errors)")
    expect(
      try measured(ranks: 3, gguf + "/model.gguf", ["--precision", "f32"], output: "gguf"),
      llama.matrixElements * 34 / 32, "GGUF")
  }

  @Test("Each node has one, and so has each rank that is a node")
  func nodes() throws {
    let llama = try LargeModel("llama", at: bench.path("llama"))
    // Two ranks and one: all make the copy together, whatever their node's number of ranks.
    let environment = ["SWIFT_PEFT_TRAIN_RANKS_PER_NODE": "2"]
    let half = try measured(
      ranks: 3, llama.path, ["--precision", "bf16"], output: "nodes", environment: environment)
    expect(half, llama.matrixBytes / 2, "rounded on each node")
  }

  @Test("Each NUMA domain has one where that is asked for, and the bytes stay the same")
  func domains() throws {
    let llama = try LargeModel("llama", at: bench.path("llama"))
    func run(_ output: String, _ more: [String]) throws -> (base: Int, adapter: Data?) {
      // Two domains: of two ranks and of one.
      let base = try measured(
        ranks: 3, llama.path, more, output: output,
        environment: ["SWIFT_PEFT_TRAIN_RANKS_PER_DOMAIN": "2"])
      let path = bench.path(output) + "/adapter/adapter_model.safetensors"
      return (base, FileManager.default.contents(atPath: path))
    }
    let one = try run("node", ["--precision", "f32", "--base-copies", "node"])
    expect(one.base, llama.matrixBytes, "one a node")
    let two = try run("numa", ["--precision", "f32", "--base-copies", "numa"])
    expect(two.base, 2 * llama.matrixBytes, "one a domain")
    #expect(one.adapter != nil && one.adapter == two.adapter)
    let quantised = try run("numa-nf4", ["--quantize-base", "nf4", "--base-copies", "numa"])
    expect(quantised.base, 2 * llama.matrixElements * 9 / 16, "quantised in each domain")
  }

  @Test("Seen from outside, a rank adds what is its own and no base", arguments: [1, 2, 4])
  func outside(ranks: Int) throws {
    let llama = try LargeModel("llama", at: bench.path("llama"))
    let (one, own) = (try memory(llama, ranks: 1), try memory(llama, ranks: ranks))
    let base = llama.matrixBytes
    #expect(one > base)
    // What one rank has besides the base, ten in a hundred for what differs from run to run.
    let allowed = base * 11 / 10 + ranks * (one - base)
    #expect(own < allowed, "\(ranks) ranks have \(own) bytes, one has \(one), the base \(base)")
  }

  private func memory(_ model: LargeModel, ranks: Int) throws -> Int {
    try NodeMemory(bench, model: model.path, ranks: ranks).all
  }
}
