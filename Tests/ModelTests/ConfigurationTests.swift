import JSON
import Model
import TestSupport
import Testing

@Suite("config.json")
struct ConfigurationTests {
  private let llama: JSONValue = [
    "model_type": "llama", "vocab_size": 53, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
  ]

  private func configuration(_ changes: [String: JSONValue]) throws -> DecoderConfiguration {
    try DecoderConfiguration(.object((llama.object ?? [:]).merging(changes) { $1 }))
  }

  @Test("Both spellings of rotary positions are read")
  func rotarySpellings() throws {
    let older = try configuration([
      "rope_theta": 500_000, "rope_scaling": ["type": "linear", "factor": 4],
    ])
    let newer = try configuration([
      "rope_parameters": ["rope_type": "linear", "rope_theta": 500_000, "factor": 4]
    ])
    for case let scheme? in older.rotary {
      #expect(scheme.theta == 500_000 && scheme.scaling == .linear(factor: 4))
      #expect(scheme.features == 8)
    }
    #expect(newer.rotary == older.rotary && older.rotary.count == older.blockCount)
  }

  @Test(
    "Numbers that would overflow, or ask for memory a block, are refused by name",
    arguments: [
      ("llama", "num_hidden_layers", 1 << 27), ("gpt2", "n_layer", 1 << 27),
      ("gpt2", "n_embd", Int.max), ("gpt2", "n_inner", Int.max),
    ])
  func tooLarge(type: String, name: String, value: Int) throws {
    let base: JSONValue = type == "llama" ? llama : ["model_type": "gpt2"]
    let changed = JSONValue.object((base.object ?? [:]).merging([name: .int(value)]) { $1 })
    let error = #expect(throws: ModelError.self) { try DecoderConfiguration(changed) }
    #expect(error?.description.contains(name) == true)
  }

  @Test("A head dimension that is given is not derived")
  func headDim() throws {
    #expect(try configuration(["head_dim": 12]).headDim == 12)
    #expect(try configuration([:]).headDim == 8)
  }

  @Test(
    "Fields that change the mathematics are refused by name",
    arguments: [
      "pretraining_tp": 2, "quantization_config": ["bits": 4], "partial_rotary_factor": 0.5,
      "hidden_act": "xielu", "rope_scaling": ["rope_type": "mrope", "factor": 4],
      "num_hidden_layers": 0, "vocab_size": "many",
      "layer_types": [
        "full_attention", "sliding_attention",
      ],
      "rope_parameters": ["full_attention": ["rope_type": "default", "rope_theta": 10_000]],
    ] as [String: JSONValue])
  func refused(_ field: String, _ value: JSONValue) throws {
    let error = try #require(throws: ModelError.self) {
      try configuration([field: value])
    }
    let named = field == "rope_scaling" ? "rope_type" : field
    #expect(error.description.contains(named), "\(error)")
  }

  @Test("Contradictions are named")
  func contradictions() throws {
    let error = try #require(throws: ModelError.self) {
      try configuration(["num_key_value_heads": 3])
    }
    #expect(error.description.contains("num_key_value_heads 3"))
  }

  @Test("An unknown architecture names the known ones")
  func unknownType() throws {
    let error = try #require(throws: ModelError.self) {
      try configuration(["model_type": "mamba"])
    }
    #expect(error.description.contains("'mamba'") && error.description.contains("qwen3"))
  }

  @Test(
    "A member of the rotary parameters that would divide by zero is refused by name",
    arguments: ["factor", "rope_theta", "original_max_position_embeddings"], ["yarn", "llama3"])
  func zeroInRotary(_ member: String, _ type: String) throws {
    var members: [String: JSONValue] = [
      "rope_type": .string(type), "factor": 4, "low_freq_factor": 1, "high_freq_factor": 4,
      "rope_theta": 10_000, "original_max_position_embeddings": 32,
    ]
    members[member] = 0
    let error = try #require(throws: ModelError.self) {
      try configuration(["rope_parameters": .object(members)])
    }
    #expect(error.description.contains("rope_parameters.\(member)"), "\(error)")
  }

  @Test(
    "Angles too great for a sine are refused before one is computed", arguments: [1e-300, 1e-30])
  func angles(theta: Double) throws {
    let error = try #require(throws: ModelError.self) {
      try configuration(["rope_parameters": ["rope_type": "default", "rope_theta": .double(theta)]])
    }
    #expect(error.description.contains("rope_theta"), "\(error)")
  }

  @Test("Stretched positions make room for longer sequences")
  func stretched() throws {
    let yarn = try configuration(["rope_scaling": ["type": "yarn", "factor": 4]])
    let dynamic = try configuration(["rope_scaling": ["type": "dynamic", "factor": 2.5]])
    let linear = try configuration(["rope_scaling": ["type": "linear", "factor": 4]])
    #expect(yarn.maximumPositions == 256 && dynamic.maximumPositions == 160)
    #expect(linear.maximumPositions == 64)
  }

  @Test("A field that nobody knows is reported, an empty one is not")
  func unrecognized() throws {
    let rope = try configuration([
      "rope_scaling": ["type": "linear", "factor": 2, "beta_fast": 3, "finetuned": false]
    ])
    #expect(rope.unrecognized == ["rope_scaling.beta_fast"])
    let found = try configuration(["residual_multiplier": 0.22, "some_switch": false])
    #expect(found.unrecognized == ["residual_multiplier"])
  }

  @Test("Of published configurations every field is honoured or known to say nothing")
  func published() throws {
    let all = try #require(Fixtures.json("published.json").object).compactMapValues { $0["config"] }
    let types = Set(all.values.compactMap { $0["model_type"]?.string })
    #expect(types.isSuperset(of: ["smollm3", "olmo2", "granite", "phi3", "gpt_neox", "gemma2"]))
    for (name, value) in all {
      let c = try DecoderConfiguration(value, path: name)
      #expect(c.unrecognized.isEmpty, "\(name)")
      #expect(c.rotary.count == c.blockCount && c.windows.count == c.blockCount, "\(name)")
    }
    let gemma = try DecoderConfiguration(#require(all["gemma-3-270m-it"]))
    #expect(gemma.windows.prefix(6) == [512, 512, 512, 512, 512, 0])
    #expect(gemma.rotary[4]?.theta == 10_000 && gemma.rotary[5]?.theta == 1_000_000)
    let phi = try DecoderConfiguration(#require(all["Phi-4-mini-instruct"]))
    #expect(phi.rotary[0]?.features == 96 && phi.maximumPositions == 131_072)
    let qwen = try DecoderConfiguration(#require(all["Qwen3-30B-A3B"]))
    let experts = try #require(qwen.experts)
    #expect(experts.count == 128 && experts.countPerToken == 8 && experts.intermediateSize == 768)
    #expect(experts.normalizesWeights && experts.blocks == Array(repeating: true, count: 48))
    let smol = try DecoderConfiguration(#require(all["SmolLM3-3B"]))
    #expect(smol.rotary.prefix(5).map { $0 != nil } == [true, true, true, false, true])
  }
}
