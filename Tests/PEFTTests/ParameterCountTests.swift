import Foundation
import JSON
import Model
import PEFT
import Tensors
import TestSupport
import Testing

/// Trainable parameters at full size: GPT-2 124M and SmolLM-135M, as PEFT counts them.
@Suite("Trainable parameters")
struct ParameterCountTests {
  /// What is counted: method, options, GPT-2 124M, SmolLM-135M.
  static let rows: [(String, [String: JSONValue], Int, Int)] = [
    ("bottleneck", ["reduction_factor": 16], 1_789_056, 2_525_040),
    ("ia3", [:], 64_512, 57_600),
    ("miss", ["r": 64], 1_769_472, 1_474_560),
    ("prompt-tuning", ["num_virtual_tokens": 20], 15_360, 11_520),
    ("prefix-tuning", ["num_virtual_tokens": 20], 368_640, 230_400),
    (
      "prefix-tuning", ["num_virtual_tokens": 20, "prefix_projection": true], 14_780_160,
      2_264_256
    ),
    (
      "p-tuning", ["num_virtual_tokens": 20, "encoder_reparameterization_type": "MLP"], 1_787_136,
      1_008_576
    ),
    (
      "p-tuning", ["num_virtual_tokens": 20, "encoder_reparameterization_type": "LSTM"],
      27_174_144, 15_293_376
    ),
    ("llama-adapter", ["adapter_len": 10, "adapter_layers": 8], 61_448, 46_088),
    ("lora", ["r": 8], 294_912, 460_800),
    ("lora", ["r": 8, "target_modules": "all-linear"], 1_179_648, 2_442_240),
    ("adalora", ["init_r": 12], 442_512, 691_920),
  ]

  @Test("Every method has as many as the reference")
  func counts() throws {
    // What full fine-tuning trains is the base itself.
    #expect(Set(Self.rows.map(\.0)) == Set(PEFTMethods.names).subtracting(["full"]))
    let directory = try TemporaryDirectory()
    let gpt2 = try Self.hollowGPT2(directory.path("gpt2"))
    let smol = try Self.hollowSmolLM(directory.path("smol"))
    for (method, options, onGPT2, onSmolLM) in Self.rows {
      for (base, expected) in [(gpt2, onGPT2), (smol, onSmolLM)] {
        let method = try PEFTMethods.make(method, options: MethodOptions(options, source: "test"))
        var plan = ParameterArenaPlan()
        try method.declare(in: &plan, for: base)
        let count = plan.slots.reduce(0) { $0 + ($1.role.isOptimized ? $1.count : 0) }
        #expect(count == expected, "\(method.name) on \(base.configuration.modelType)")
      }
    }
  }

  // MARK: Models of nothing but holes

  private static func hollowGPT2(_ path: String) throws -> Decoder {
    let (h, layers) = (768, 12)
    var shapes: [String: [Int]] = [
      "transformer.wte.weight": [50257, h], "transformer.wpe.weight": [1024, h],
      "transformer.ln_f.weight": [h], "transformer.ln_f.bias": [h],
    ]
    for layer in 0..<layers {
      let key = "transformer.h.\(layer)."
      for (name, input, output) in [
        ("attn.c_attn", h, 3 * h), ("attn.c_proj", h, h), ("mlp.c_fc", h, 4 * h),
        ("mlp.c_proj", 4 * h, h),
      ] {
        shapes[key + name + ".weight"] = [input, output]
        shapes[key + name + ".bias"] = [output]
      }
      for norm in ["ln_1", "ln_2"] {
        shapes[key + norm + ".weight"] = [h]
        shapes[key + norm + ".bias"] = [h]
      }
    }
    let config: JSONValue = [
      "model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
      "vocab_size": 50257, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
    ]
    return try hollow(path, config, shapes)
  }

  private static func hollowSmolLM(_ path: String) throws -> Decoder {
    let (h, inner, narrow) = (576, 1536, 192)
    var shapes: [String: [Int]] = [
      "model.embed_tokens.weight": [49152, h], "model.norm.weight": [h],
    ]
    for layer in 0..<30 {
      let key = "model.layers.\(layer)."
      for (name, output, input) in [
        ("self_attn.q_proj", h, h), ("self_attn.k_proj", narrow, h),
        ("self_attn.v_proj", narrow, h), ("self_attn.o_proj", h, h), ("mlp.gate_proj", inner, h),
        ("mlp.up_proj", inner, h), ("mlp.down_proj", h, inner),
      ] { shapes[key + name + ".weight"] = [output, input] }
      shapes[key + "input_layernorm.weight"] = [h]
      shapes[key + "post_attention_layernorm.weight"] = [h]
    }
    let config: JSONValue = [
      "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
      "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30,
      "vocab_size": 49152, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
      "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
    ]
    return try hollow(path, config, shapes)
  }

  /// A model directory whose weights are a hole in a file: all zero, and hardly any disk.
  private static func hollow(_ path: String, _ config: JSONValue, _ shapes: [String: [Int]]) throws
    -> Decoder
  {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try config.text().write(toFile: path + "/config.json", atomically: true, encoding: .utf8)
    var offset = 0
    var header: [String: JSONValue] = [:]
    for (name, shape) in shapes.sorted(by: { $0.key < $1.key }) {
      let end = offset + 2 * shape.reduce(1, *)
      header[name] = [
        "dtype": "BF16", "shape": .array(shape.map(JSONValue.int)),
        "data_offsets": [.int(offset), .int(end)],
      ]
      offset = end
    }
    let text = Array(JSONValue.object(header).text().utf8)
    let size = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    try Data(size + text).write(to: URL(fileURLWithPath: path + "/model.safetensors"))
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path + "/model.safetensors"))
    try file.truncate(atOffset: UInt64(8 + text.count + offset))
    try file.close()
    return try Decoder(directory: path, finiteCheck: (0, 0))
  }
}
