import Foundation
import TestSupport
import Testing

/// What lies packed in a file stays so: the ranks of a node have the file once, and nothing beside it.
@Suite("A quantised base is in a node's memory once, as its file has it", .serialized)
struct QuantizedBaseMemoryTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  @Test("Of a GGUF file, 1, 2 and 4 ranks together have at most 1.02 of it, and no copy")
  func gguf() throws {
    let llama = try LargeModel("llama", at: bench.path("llama"))
    // An adapter, for a model in GGUF is what comes of one.
    let trained = try bench.run(
      options(llama.path, "adapter") + ["--max-steps", "1", "--precision", "f32"])
    try #require(trained.status == 0, "\(trained.errors)")
    let directory = bench.path("gguf")
    let merged = try bench.run([
      "merge", "--model", llama.path, "--adapter", bench.path("adapter/adapter"), "--output-dir",
      directory, "--to", "gguf", "--dtype", "q8_0",
    ])
    try #require(merged.status == 0, "\(merged.errors)")
    let path = directory + "/model.gguf"
    let size = try #require(
      FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    let (one, plain) = (try share(of: path, ranks: 1), try share(of: llama.path, ranks: 1))
    // Widened, it would be there a second time: four times as large, in what is no file.
    #expect(
      one.others < plain.others + size / 4,
      "\(one.others) bytes beside a quantised base, \(plain.others) beside one in f32")
    for ranks in [1, 2, 4] {
      let files = ranks == 1 ? one.files : try share(of: path, ranks: ranks).files
      #expect(
        100 * files <= 102 * size && 10 * files >= 9 * size,
        "\(ranks) ranks have \(files) bytes of a file of \(size)")
    }
  }

  private func options(_ model: String, _ output: String) -> [String] {
    NodeMemory.options(bench, model: model, output: output)
  }

  private func share(of model: String, ranks: Int) throws -> NodeMemory {
    try NodeMemory(bench, model: model, ranks: ranks)
  }
}
