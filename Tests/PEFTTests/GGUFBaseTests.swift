import Foundation
import GGUF
import JSON
import Kernels
import Model
import PEFT
import Safetensors
import Tensors
import TestSupport
import Testing

/// A method on a base anywhere: its loss, and the gradients of the summed loss.
private final class BaseRun {
  let decoder: Decoder
  let arena: ParameterArena
  private let compute = Compute(threads: 2)

  init(
    _ path: String, _ method: String, _ options: [String: JSONValue],
    loading tensors: [NamedTensor]? = nil, arithmetic: Arithmetic = .float32
  ) throws {
    decoder = try Decoder(directory: path, arithmetic: arithmetic)
    let method = try PEFTMethods.make(method, options: MethodOptions(options, source: "the test"))
    var plan = ParameterArenaPlan()
    try method.declare(in: &plan, for: decoder)
    arena = ParameterArena(plan)
    try method.attach(to: decoder, arena: arena)
    try method.initialize(seed: 7, decoder: decoder)
    if let tensors { try method.load(tensors) }
    let inputs = try GoldenInputs()
    try decoder.prepare(
      for: .training(recomputesActivations: false), maximumTokens: inputs.tokenCount,
      maximumSequences: inputs.tokens.count)
    let batch = decoder.makeBatch(
      maximumTokens: inputs.tokenCount, maximumSequences: inputs.tokens.count)
    for (tokens, mask) in zip(inputs.tokens, inputs.lossMask) {
      batch.beginSequence()
      for (token, isTarget) in zip(tokens, mask) {
        batch.append(token: token, isTarget: isTarget == 1)
      }
      batch.endSequence()
    }
    arena.clearGradients()
    method.prepareStep(
      StepContext(step: 1, totalSteps: 1, seed: 1, compute: compute))
    sum = decoder.forwardBackward(
      Pass(batch: batch, compute: compute, random: CounterRandom(seed: 1), isTraining: true))
  }

  let sum: LossSum

  var loss: Double { sum.loss / Double(sum.targetCount) }
}

@Suite("Bases in GGUF") struct GGUFBaseTests {
  static let names = ["llama-k", "llama-blocks", "llama-plain", "qwen2", "qwen3", "gpt2"]

  private static func path(_ name: String) -> String { Fixtures.path("gguf/\(name)/model.gguf") }

  @Test("Logits and loss equal transformers' by gguf_file", arguments: names)
  func logits(_ name: String) throws {
    let compute = Compute(threads: 2)
    let decoder = try Decoder(directory: Self.path(name))
    let expected = try #require(
      try Fixtures.tensors("gguf/\(name)/golden.safetensors")["logits"])
    let logits = try AdaptedBase.logits(of: decoder, compute)
    let error = relativeError(logits.map(Double.init), expected.values.map(Double.init))
    #expect(error <= 1e-5, "logits are off by \(error) of their norm")
    // Every byte is read for it.
    #expect(decoder.fingerprint.hasPrefix("v2:"))
  }

  @Test("Loss and gradients of an adapter equal PEFT's", arguments: names)
  func gradients(_ name: String) throws {
    let golden = try Fixtures.tensors("gguf/\(name)/golden.safetensors")
    let facts = try Fixtures.json("gguf/\(name)/golden.json")
    let options = try Fixtures.json("gguf/\(name)/adapter/adapter_config.json").object ?? [:]
    let tensors = try Fixtures.tensors("gguf/\(name)/adapter/adapter_model.safetensors").map {
      NamedTensor(name: $0.key, shape: $0.value.shape, values: $0.value.values)
    }
    let run = try BaseRun(Self.path(name), "lora", options, loading: tensors)
    let loss = try #require(facts["adapted_loss"]?.double)
    #expect(abs(run.loss - loss) <= 1e-5 * loss, "loss \(run.loss), not \(loss)")
    #expect(run.arena.slots.count == golden.count - 1)
    for slot in run.arena.slots {
      let expected = try #require(golden["grad.\(slot.name)"], "no gradient of \(slot.name)")
      let scale = 1 / Double(run.sum.targetCount)
      let error = relativeError(
        run.arena.gradientElements(slot).map { Double($0) * scale },
        expected.values.map(Double.init))
      #expect(error <= 1e-4, "gradient of \(slot.name) is off by \(error) of its norm")
    }
  }

  @Test(
    "Training gives the bits that it gives on the numbers in a Hugging Face directory",
    arguments: names, [Arithmetic.float32, .bfloat16])
  func sameBits(_ name: String, arithmetic: Arithmetic) throws {
    let temporary = try TemporaryDirectory()
    let directory = temporary.path("dequantized")
    try Self.write(Self.path(name), as: directory)
    let isGPT2 = name == "gpt2"
    let cases: [(String, [String: JSONValue])] = [
      ("lora", ["target_modules": "all-linear", "use_dora": true, "r": 3]),
      (
        "ia3",
        isGPT2
          ? [:]
          : ["target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]]
      ), ("prompt-tuning", ["num_virtual_tokens": 3]), ("prefix-tuning", ["num_virtual_tokens": 2]),
    ]
    for (method, options) in cases {
      let runs = try [Self.path(name), directory].map {
        try BaseRun($0, method, options, arithmetic: arithmetic)
      }
      #expect(runs[0].loss == runs[1].loss, "\(method)")
      #expect(
        runs[0].arena.allGradientElements == runs[1].arena.allGradientElements, "\(method)")
      #expect(runs[0].arena.allValueElements == runs[1].arena.allValueElements, "\(method)")
      #expect(runs[0].arena.allGradientElements.contains { $0 != 0 })
    }
  }

  /// Writes the base's numbers in f32 as a Hugging Face model directory.
  private static func write(_ path: String, as directory: String) throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    let model = try GGUFModel(path: path)
    let decoder = try Decoder(directory: path)
    try model.configuration.text().write(
      toFile: directory + "/config.json", atomically: true, encoding: .utf8)
    let parameters = decoder.parameters
    var writer = try SafetensorsWriter(
      path: directory + "/model.safetensors",
      tensors: parameters.map { SafetensorsWriter.Entry($0.name, .float32, shape: $0.shape) })
    for parameter in parameters {
      let rows = parameter.shape.count == 2 ? parameter.shape[0] : 1
      let values = OwnedMatrix(rows: rows, columns: parameter.shape.last ?? 1)
      if let vector = parameter.vector {
        values.view.copy(from: vector)
      } else {
        parameter.matrix.copyFloats(into: values.view, as: parameter.layout)
      }
      try writer.write(parameter.name, from: values.view)
    }
    try writer.finish()
  }

  @Test("Standard fine-tuning of blocks is refused with the reason")
  func full() throws {
    #expect {
      _ = try BaseRun(Self.path("llama-k"), "full", [:])
    } throws: {
      let text = "\($0)"
      return text.contains("quantised") && text.contains("lora")
    }
  }
}
