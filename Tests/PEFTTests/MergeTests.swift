import Foundation
import JSON
import Kernels
import Model
import PEFT
import Safetensors
import Tensors
import TestSupport
import Testing

/// Folding adapters into their bases.
@Suite("Merging")
struct MergeTests {
  static let cases = GoldenCase.names("").filter { name in
    ["ia3", "adalora", "lora", "miss"].contains { name.hasPrefix($0 + "-") }
      && !["lora-llama-bf16"].contains(name)
  }

  @Test("Base and adapter merged give the adapter's logits", arguments: cases)
  func merged(_ name: String) throws {
    let golden = try GoldenCase(name)
    let adapted = try AdaptedBase(golden)
    let expected = try adapted.logits()
    let directory = try TemporaryDirectory()
    try writeMerged(adapted, to: directory.path)
    let decoder = try Decoder(directory: directory.path)
    let logits = try AdaptedBase.logits(of: decoder, adapted.compute)
    let error = relativeError(logits.map(Double.init), expected.map(Double.init))
    #expect(error <= 1e-5, "logits are off by \(error) of their norm")
  }

  private func writeMerged(_ adapted: AdaptedBase, to path: String) throws {
    let decoder = try Decoder(directory: adapted.decoder.directory)
    let config = try JSONValue(
      parsing: Data(contentsOf: URL(fileURLWithPath: decoder.directory + "/config.json")))
    var members = config.object ?? [:]
    var tensors: [(name: String, shape: [Int], values: OwnedMatrix)] = []
    for parameter in decoder.trainableBaseParameters {
      let weight = parameter.matrix
      let values = OwnedMatrix(rows: weight.storedRows, columns: weight.storedColumns)
      weight.copyFloats(into: values.view, as: weight.layout)
      _ = adapted.method.merge(
        into: values.view, of: parameter.name, decoder: adapted.decoder)
      if parameter.name == "lm_head.weight", decoder.configuration.tiesEmbeddings {
        guard !adapted.decoder.isHeadTied else { continue }
        members["tie_word_embeddings"] = false
      }
      tensors.append((parameter.name, parameter.shape, values))
    }
    try JSONValue.object(members).text().write(
      toFile: path + "/config.json", atomically: true, encoding: .utf8)
    var writer = try SafetensorsWriter(
      path: path + "/model.safetensors",
      tensors: tensors.map { SafetensorsWriter.Entry($0.name, .float32, shape: $0.shape) })
    for tensor in tensors { try writer.write(tensor.name, from: tensor.values.view) }
    try writer.finish()
  }

  @Test("Those that cannot be merged say why", arguments: MethodCase.all)
  func refusals(_ method: MethodCase) throws {
    let adapted = try AdaptedBase(method.method, on: "llama", method.options)
    #expect((adapted.method.mergeRefusal == nil) == method.merges)
  }

  @Test("There are merged golden cases of every method that merges")
  func everyMethod() {
    for method in MethodCase.all where method.merges && method.method != "full" {
      #expect(Self.cases.contains { $0.hasPrefix(method.method + "-") }, "\(method)")
    }
  }
}
