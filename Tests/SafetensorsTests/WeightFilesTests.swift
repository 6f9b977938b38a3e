import Diagnostics
import Foundation
import Safetensors
import Testing

@Suite("Weights of a model directory")
struct WeightFilesTests {
  private func header(_ name: String) -> String {
    #"{"\#(name)":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
  }

  @Test("Shards are read through their index")
  func shards() throws {
    let weights = try WeightFiles(directory: fixture("model/llama-f16-sharded"))
    #expect(weights.files.count == 4)
    let tensor = try weights.tensor(named: "model.norm.weight")
    #expect(tensor.elementType == .float16 && tensor.shape.count == 1)
    #expect(weights.names.count == Set(weights.names).count)
  }

  @Test("A single file is read under its usual name, or any where it is alone")
  func single() throws {
    #expect(try WeightFiles(directory: fixture("model/gpt2")).files.count == 1)
    let scratch = try Scratch()
    _ = try scratch.file(header: header("a"), dataBytes: 4, name: "pytorch.safetensors")
    #expect(try WeightFiles(directory: scratch.path).contains("a"))
  }

  @Test("No file, and several without an index, are refused")
  func none() throws {
    let scratch = try Scratch()
    #expect(
      openingError(directory: scratch.path)
        == .noModelFile(directory: scratch.path, found: []))
    for name in ["b.safetensors", "a.safetensors"] {
      _ = try scratch.file(header: header(name), dataBytes: 4, name: name)
    }
    #expect(
      openingError(directory: scratch.path)
        == .noModelFile(directory: scratch.path, found: ["a.safetensors", "b.safetensors"]))
  }

  @Test("A missing shard is named with a tensor that is in it")
  func missingShard() throws {
    let scratch = try Scratch()
    let index = scratch.path + "/model.safetensors.index.json"
    _ = try scratch.file(
      Array(#"{"weight_map":{"a":"1.safetensors"}}"#.utf8), "model.safetensors.index.json")
    #expect(
      openingError(directory: scratch.path)
        == .missingShard(index: index, shard: "1.safetensors", tensor: "a"))
  }

  @Test("An index that places a tensor where it is not is refused")
  func lyingIndex() throws {
    let scratch = try Scratch()
    let index = scratch.path + "/model.safetensors.index.json"
    _ = try scratch.file(
      Array(#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors"}}"#.utf8),
      "model.safetensors.index.json")
    _ = try scratch.file(header: header("a"), dataBytes: 4, name: "1.safetensors")
    #expect(
      openingError(directory: scratch.path)
        == .missingFromShard(index: index, shard: "1.safetensors", tensor: "b"))
  }

  @Test("An index that leads out of the directory is refused")
  func outside() throws {
    let scratch = try Scratch()
    let index = scratch.path + "/model.safetensors.index.json"
    _ = try scratch.file(
      Array(#"{"weight_map":{"a":"../1.safetensors"}}"#.utf8), "model.safetensors.index.json")
    #expect(
      openingError(directory: scratch.path)
        == .shardOutsideDirectory(index: index, shard: "../1.safetensors"))
  }

  @Test("A tensor in two shards is refused unless the index says which one counts")
  func twoShards() throws {
    let scratch = try Scratch()
    for (name, tensors) in [("1", ["a"]), ("2", ["a", "b"])] {
      let entries = tensors.enumerated().map { place, tensor in
        #""\#(tensor)":{"dtype":"F32","shape":[1],"data_offsets":[\#(4 * place),\#(4 * place + 4)]}"#
      }
      _ = try scratch.file(
        header: "{" + entries.joined(separator: ",") + "}", dataBytes: 4 * tensors.count,
        name: "\(name).safetensors")
    }
    let index = "model.safetensors.index.json"
    _ = try scratch.file(
      Array(#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#.utf8), index)
    let weights = try WeightFiles(directory: scratch.path)
    #expect(try weights.tensor(named: "a").path == scratch.path + "/1.safetensors")
    _ = try scratch.file(
      Array(#"{"weight_map":{"b":"2.safetensors","c":"3.safetensors"}}"#.utf8), index)
    _ = try scratch.file(
      header:
        #"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"c":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}"#,
      dataBytes: 8, name: "3.safetensors")
    guard case .tensorInTwoShards("a", _, _)? = openingError(directory: scratch.path) else {
      Issue.record("it gave \(String(describing: openingError(directory: scratch.path)))")
      return
    }
  }

  @Test("An index that is damaged is refused", arguments: ["{", "[]", #"{"weight_map":{"a":1}}"#])
  func damagedIndex(text: String) throws {
    let scratch = try Scratch()
    // Padded, since a file under 8 bytes is refused for being short.
    _ = try scratch.file(Array((text + "        ").utf8), "model.safetensors.index.json")
    #expect(openingError(directory: scratch.path)?.errorClass == .input)
  }
}
