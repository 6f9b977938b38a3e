import Foundation
import GGUF
import JSON
import Kernels
import Model
import PEFT
import Tensors
import TestSupport
import Testing
import Training

/// Models and adapters as llama.cpp reads them.
@Suite("GGUF files that are written") struct GGUFOutputTests {
  private let directory: TemporaryDirectory
  private let compute = Compute(threads: 2)

  init() throws { directory = try TemporaryDirectory() }

  static let bases = [
    ("lora-llama-all-linear", "model/llama"), ("lora-gpt2-all-linear", "model/gpt2"),
    ("lora-qwen2-all-linear", "model/qwen2"), ("lora-qwen3-all-linear", "model/qwen3"),
    // Of Llama 3's positions the published constants alone are read back.
    ("lora-llama-linear", "model/llama-linear"),
  ]

  private func adapted(
    _ adapter: String, _ base: String
  ) throws -> (decoder: Decoder, attached: AttachedMethod, export: AdapterExport) {
    let decoder = try Decoder(directory: fixturePath(base))
    let path = fixturePath(adapter)
    let attached = try AttachedMethod(AdapterSource(path: path), decoder: decoder, seed: 0)
    let source = AdapterDirectory(path: path)
    return (
      decoder, attached,
      AdapterExport(configuration: try source.configuration(), tensors: try source.tensors())
    )
  }

  @Test("A merged model computes what base and adapter do, in every type", arguments: bases)
  func models(_ adapter: String, _ base: String) throws {
    let (decoder, attached, _) = try adapted("peft/\(adapter)/adapter", base)
    let check = try MergeCheck(base: decoder, compute: compute)
    for type in GGUFModelFile.types {
      let path = directory.path("\(type).gguf")
      try GGUFModelFile.write(to: path, base: decoder, method: attached.method, type: type)
      let error = try check.error(ofGGUF: path, type: type)
      #expect(type == "F32" ? error < 1e-5 : error < 0.1, "\(type): \(error)")
    }
  }

  @Test("An adapter on a base in GGUF folds into a model in GGUF, with the base's keys")
  func quantizedBase() throws {
    let base = "gguf/llama-blocks/model.gguf"
    let (decoder, attached, _) = try adapted("gguf/llama-blocks/adapter", base)
    let check = try MergeCheck(base: decoder, compute: compute)
    let path = directory.path("merged.gguf")
    try GGUFModelFile.write(to: path, base: decoder, method: attached.method, type: "F32")
    #expect(try check.error(ofGGUF: path, type: "F32") < 1e-5)
    let (before, after) = (try GGUFFile(path: fixturePath(base)), try GGUFFile(path: path))
    #expect(Set(before.metadata.keys).isSubset(of: after.metadata.keys))
    #expect(
      try before.metadata.strings("tokenizer.ggml.tokens")
        == after.metadata.strings("tokenizer.ggml.tokens"))
  }

  @Test(
    "An adapter's file adds to the rows of the base's file what the merged file holds",
    arguments: [
      ("peft/lora-llama-all-linear/adapter", "model/llama"),
      ("peft/lora-llama-rslora/adapter", "model/llama"),
      ("peft/lora-llama-patterns/adapter", "model/llama"),
      ("peft/lora-gpt2-all-linear/adapter", "model/gpt2"),
      ("peft/lora-qwen3-all-linear/adapter", "model/qwen3"),
    ])
  func adapters(_ adapter: String, _ base: String) throws {
    let (plain, none, _) = try adapted(adapter, base)
    let (decoder, attached, export) = try adapted(adapter, base)
    let path = directory.path("adapter.gguf")
    try GGUFAdapter.write(export, to: path, base: decoder.configuration)
    let merged = directory.path("merged.gguf")
    try GGUFModelFile.write(to: merged, base: decoder, method: attached.method, type: "F32")
    // The base alone: the same adapter with its second factors at 0.
    for slot in none.arena.slots where slot.name.contains("lora_B") {
      none.arena.values(slot).fill(0)
    }
    let bare = directory.path("base.gguf")
    try GGUFModelFile.write(to: bare, base: plain, method: none.method, type: "F32")

    let file = try GGUFFile(path: path)
    #expect(try file.metadata.string("general.type") == "adapter")
    #expect(try file.metadata.string("adapter.type") == "lora")
    let alpha = try #require(try file.metadata.number("adapter.lora.alpha"))
    func numbers(_ file: GGUFFile, _ name: String) throws -> (values: [Float], shape: [Int]) {
      let tensor = try #require(file.tensors.first { $0.name == name }, "\(name)")
      let view = OwnedMatrix(rows: tensor.shape[0], columns: tensor.shape[1])
      try tensor.weight().copyFloats(into: view.view)
      return (view.view.elements, tensor.shape)
    }
    let (before, after) = (try GGUFFile(path: bare), try GGUFFile(path: merged))
    var adapted: Set<String> = []
    for tensor in file.tensors where tensor.name.hasSuffix(".lora_a") {
      let name = String(tensor.name.dropLast(".lora_a".count))
      adapted.insert(name)
      let (a, aShape) = try numbers(file, name + ".lora_a")
      let (b, bShape) = try numbers(file, name + ".lora_b")
      let (old, new) = (try numbers(before, name).values, try numbers(after, name).values)
      let (rank, inputs, outputs) = (aShape[0], aShape[1], bShape[0])
      #expect(bShape[1] == rank && outputs * inputs == old.count)
      var (difference, norm) = (0.0, 0.0)
      for o in 0..<outputs {
        for i in 0..<inputs {
          // llama.cpp: alpha over the rank of the pair.
          var sum = 0.0
          for r in 0..<rank { sum += Double(b[o * rank + r]) * Double(a[r * inputs + i]) }
          let expected = Double(old[o * inputs + i]) + alpha / Double(rank) * sum
          difference += pow(expected - Double(new[o * inputs + i]), 2)
          norm += pow(alpha / Double(rank) * sum, 2)
        }
      }
      #expect(difference <= 1e-10 * norm, "\(name): \(difference) of \(norm)")
    }
    // Nothing else differs.
    for tensor in after.tensors where !adapted.contains(tensor.name) {
      let other = try #require(before.tensors.first { $0.name == tensor.name })
      #expect(tensor.isIdentical(to: other), "\(tensor.name)")
    }
    #expect(throws: (any Error).self) { try GGUFModel(path: path) }
  }

  @Test(
    "What GGUF cannot say of an adapter is refused with merge as the way out",
    arguments: [
      ("lora-llama-dora", "use_dora"), ("lora-llama-head", "modules_to_save"),
      ("lora-llama-biases-lora-bias", "lora_bias"), ("lora-qwen2-bias-all", "bias"),
      ("ia3-llama", "IA3"), ("prompt-tuning-llama", "PROMPT_TUNING"),
    ])
  func refused(_ adapter: String, _ what: String) throws {
    let source = AdapterDirectory(path: fixturePath("peft/\(adapter)/adapter"))
    let export = AdapterExport(
      configuration: try source.configuration(), tensors: try source.tensors())
    #expect {
      try GGUFAdapter.write(
        export, to: directory.path("adapter.gguf"),
        base: try DecoderConfiguration(directory: fixturePath("model/llama")))
    } throws: {
      "\($0)".contains(what) && "\($0)".contains("merge")
    }
    #expect(directory.names.isEmpty)
  }
}
