import Foundation
import JSON
import Model
import Safetensors
import TestSupport
import Testing

/// One test a way in which a model directory can be wrong.
@Suite("Damaged model directories")
struct DamagedModelTests {
  /// A copy of a base whose files a test may change.
  private func copy(_ base: String, _ change: (URL) throws -> Void) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    let target = URL(fileURLWithPath: directory.path + "/model")
    try FileManager.default.copyItem(
      at: URL(fileURLWithPath: Fixtures.model(base)), to: target)
    try change(target)
    return directory
  }

  private func load(_ directory: TemporaryDirectory) throws -> String {
    let path = directory.path + "/model"
    return try #require(throws: ModelError.self) { try Decoder(directory: path) }.description
  }

  /// Rewrites `config.json` with some fields changed.
  private func changeConfiguration(_ model: URL, _ changes: [String: JSONValue]) throws {
    let file = model.appendingPathComponent("config.json")
    let old = try JSONValue(parsing: Data(contentsOf: file)).object ?? [:]
    let new = JSONValue.object(old.merging(changes) { $1 })
    try Data(new.text().utf8).write(to: file)
  }

  @Test("A directory without config.json is named")
  func noConfiguration() throws {
    let directory = try copy("llama") { model in
      try FileManager.default.removeItem(at: model.appendingPathComponent("config.json"))
    }
    #expect(try load(directory).contains("config.json: No such file"))
  }

  @Test("A configuration that is not JSON is named")
  func brokenConfiguration() throws {
    let directory = try copy("llama") { model in
      try Data("{\"model_type\": ".utf8).write(to: model.appendingPathComponent("config.json"))
    }
    #expect(try load(directory).contains("is not valid JSON"))
  }

  @Test("A key/value head count that the file does not fit says which would")
  func headCountMismatch() throws {
    let directory = try copy("llama") { model in
      try changeConfiguration(model, ["num_key_value_heads": 4])
    }
    let message = try load(directory)
    #expect(message.contains("model.layers.0.self_attn.k_proj.weight"))
    #expect(message.contains("the file fits 2"), "\(message)")
  }

  @Test("A layer that the file lacks is a missing tensor")
  func missingLayer() throws {
    let directory = try copy("llama") { model in
      try changeConfiguration(model, ["num_hidden_layers": 9, "layer_types": nil])
    }
    let message = try load(directory)
    #expect(message.contains("'model.layers."), "\(message)")
    #expect(message.contains("is not in"), "\(message)")
  }

  @Test("A layer that the configuration lacks is an unexpected tensor")
  func extraLayer() throws {
    let directory = try copy("llama") { model in
      try changeConfiguration(model, ["num_hidden_layers": 1, "layer_types": nil])
    }
    #expect(try load(directory).contains("no place for"))
  }

  @Test("A weight file that ends early is named")
  func truncated() throws {
    let directory = try copy("llama") { model in
      let file = model.appendingPathComponent("model.safetensors")
      let data = try Data(contentsOf: file)
      try data.prefix(data.count / 2).write(to: file)
    }
    #expect(try load(directory).contains("model.safetensors"))
  }

  @Test("A shard that is not there is named")
  func missingShard() throws {
    let directory = try copy("llama-sharded") { model in
      let shards = try FileManager.default.contentsOfDirectory(atPath: model.path)
        .filter { $0.hasPrefix("model-00002") }
      for shard in shards {
        try FileManager.default.removeItem(at: model.appendingPathComponent(shard))
      }
    }
    #expect(try load(directory).contains("model-00002"))
  }

  @Test("A NaN in a weight is named with its tensor")
  func nonFinite() throws {
    let directory = try copy("llama") { model in
      let file = model.appendingPathComponent("model.safetensors")
      var data = try Data(contentsOf: file)
      // The last four bytes are the last element of the last tensor.
      data.replaceSubrange((data.count - 4)..<data.count, with: [0, 0, 0xC0, 0x7F])
      try data.write(to: file)
    }
    #expect(try load(directory).contains("NaN or infinity"))
  }
}
