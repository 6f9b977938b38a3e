import JSON

extension DecoderConfiguration {
  /// Reads the fields of `LlamaConfig`, `MistralConfig`, `Qwen2Config` and `Qwen3Config`.
  static func llama(_ fields: ConfigurationFields, family: ModelFamily) throws(ModelError) -> Self {
    var c = Self(family: family)
    c.vocabularySize = try fields.int("vocab_size")
    c.hiddenSize = try fields.int("hidden_size")
    c.intermediateSize = try fields.int("intermediate_size")
    c.blockCount = try fields.int("num_hidden_layers")
    c.headCount = try fields.int("num_attention_heads")
    c.keyValueHeadCount = try fields.int(
      "num_key_value_heads", default: family == .mistral ? 8 : c.headCount)
    let derivedHeadDim = family == .qwen3 ? 128 : c.hiddenSize / max(c.headCount, 1)
    c.headDim = try fields.int("head_dim", default: derivedHeadDim)
    c.maximumPositions = try fields.int("max_position_embeddings", default: 2048)
    c.normEpsilon = try fields.double("rms_norm_eps", default: 1e-6)
    c.activation = try fields.activation("hidden_act", default: "silu")
    c.tiesEmbeddings = try fields.bool("tie_word_embeddings", default: false)
    c.endTokens = fields.endTokens()

    let attentionBias = try fields.bool("attention_bias", default: false)
    switch family {
    case .qwen2: (c.queryKeyValueBias, c.outputBias) = (true, false)
    case .mistral: (c.queryKeyValueBias, c.outputBias) = (false, false)
    default: (c.queryKeyValueBias, c.outputBias) = (attentionBias, attentionBias)
    }
    c.feedForwardBias = try fields.bool("mlp_bias", default: false)
    c.queryKeyNorm = family == .qwen3

    try fields.refuse("pretraining_tp", unless: [1], expected: "1")
    try fields.refuse("partial_rotary_factor", unless: [1, 1.0], expected: "1")
    try fields.refuse("quantization_config", expected: "an unquantised model")
    try readWindows(fields, into: &c)
    try readRotary(fields, into: &c)
    c.attentionScales = Array(
      repeating: 1 / Double(max(c.headDim, 1)).squareRoot(), count: max(c.blockCount, 0))
    return c
  }

  /// `sliding_window`; Qwen adds a switch and says by `layer_types` or `max_window_layers` where.
  private static func readWindows(_ fields: ConfigurationFields, into c: inout Self)
    throws(ModelError)
  {
    let blocks = max(c.blockCount, 0)
    c.windows = Array(repeating: 0, count: blocks)
    let window = try fields.int("sliding_window", default: 0)
    let types = fields.value("layer_types")?.array
    let isQwen = c.family == .qwen2 || c.family == .qwen3
    let uses =
      isQwen ? try fields.bool("use_sliding_window", default: false) : c.family == .mistral
    if let types {
      guard types.count == blocks else {
        throw .inconsistentFields(
          "layer_types has \(types.count) entries for \(blocks) layers", path: fields.path)
      }
      for (block, type) in types.enumerated() {
        switch type.string {
        case "full_attention": break
        case "sliding_attention":
          guard window > 0 else {
            throw .inconsistentFields(
              "layer_types asks for sliding attention and sliding_window is not set",
              path: fields.path)
          }
          c.windows[block] = window
        default:
          throw fields.wrong("layer_types", type, "full_attention, sliding_attention")
        }
      }
    } else if uses && window > 0 {
      let first = isQwen ? try fields.int("max_window_layers", default: 28) : 0
      for block in 0..<blocks where block >= first { c.windows[block] = window }
    }
  }

  /// Rotary positions, in transformers 5's spelling (`rope_parameters`) or the older one
  /// (`rope_theta` beside `rope_scaling`).
  private static func readRotary(_ fields: ConfigurationFields, into c: inout Self)
    throws(ModelError)
  {
    c.rotaryTheta = try fields.double("rope_theta", default: 10_000)
    let older = fields.value("rope_scaling")
    guard let value = fields.value("rope_parameters") ?? older else { return }
    guard value.object != nil else {
      throw fields.wrong("rope_parameters", value, "an object")
    }
    if let theta = value["rope_theta"]?.double { c.rotaryTheta = theta }
    if let factor = value["partial_rotary_factor"]?.double, factor != 1 {
      throw fields.wrong("partial_rotary_factor", .double(factor), "1")
    }
    let type = (value["rope_type"] ?? value["type"])?.string ?? "default"
    func number(_ name: String) throws(ModelError) -> Double {
      guard let number = value[name]?.double else {
        throw .missingField(name: "rope_parameters.\(name)", path: fields.path)
      }
      return number
    }
    switch type {
    case "default": c.rotaryScaling = .none
    case "linear": c.rotaryScaling = .linear(factor: try number("factor"))
    case "llama3":
      c.rotaryScaling = .llama3(
        factor: try number("factor"), lowFactor: try number("low_freq_factor"),
        highFactor: try number("high_freq_factor"),
        originalPositions: Int(try number("original_max_position_embeddings")))
    default:
      throw fields.wrong("rope_type", .string(type), "default, linear, llama3")
    }
  }
}
