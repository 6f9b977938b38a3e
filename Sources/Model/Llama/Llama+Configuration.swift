import JSON

extension DecoderConfiguration {
  /// Reads the fields of `LlamaConfig`, `MistralConfig`, `Qwen2Config` and `Qwen3Config`.
  ///
  /// Absent fields have the values that transformers 5 gives them; null is a value where it is one
  /// there.
  ///
  /// - Parameter empty: the configuration to fill.
  static func llama(
    _ fields: ConfigurationFields, _ traits: LlamaTraits, _ empty: Self
  ) throws(ModelError) -> Self {
    var c = empty
    c.vocabularySize = try fields.int("vocab_size", default: traits.vocabularySize)
    c.hiddenSize = try fields.int("hidden_size", default: 4096)
    c.intermediateSize = try fields.int("intermediate_size", default: traits.intermediateSize)
    c.blockCount = try fields.int("num_hidden_layers", default: 32)
    c.headCount = try fields.int("num_attention_heads", default: 32)
    c.keyValueHeadCount =
      traits.mayKeyValueHeadsBeNull
      ? try fields.int(
        "num_key_value_heads", default: traits.keyValueHeadCount, null: nil) ?? c.headCount
      : try fields.int("num_key_value_heads", default: traits.keyValueHeadCount ?? c.headCount)
    c.headDim =
      if let headDim = traits.headDim {
        try fields.int("head_dim", default: headDim)
      } else {
        try fields.int("head_dim", default: nil, null: nil) ?? c.hiddenSize / max(c.headCount, 1)
      }
    c.maximumPositions = try fields.int(
      "max_position_embeddings", default: traits.maximumPositions)
    c.normEpsilon = try fields.double("rms_norm_eps", default: 1e-6)
    c.activation = try fields.activation("hidden_act", default: "silu")
    c.tiesEmbeddings = try fields.bool("tie_word_embeddings", default: false)
    c.endTokens = try fields.endTokens(default: traits.endTokens)

    switch traits.biases {
    case .inputs: c.queryKeyValueBias = true
    case .none: break
    case .configured:
      c.queryKeyValueBias = try fields.bool("attention_bias", default: false)
      c.outputBias = c.queryKeyValueBias
    }
    if traits.hasFeedForwardBias {
      c.feedForwardBias = try fields.bool("mlp_bias", default: false)
    }
    c.queryKeyNorm = traits.hasHeadNorms

    try fields.refuse("pretraining_tp", unless: [1], expected: "1")
    try fields.refuse("partial_rotary_factor", unless: [1, 1.0], expected: "1")
    c.isQuantizedByBitsAndBytes = try fields.isQuantizedByBitsAndBytes()
    try readWindows(fields, traits.windows, into: &c)
    try readRotary(fields, into: &c)
    c.attentionScales = Array(
      repeating: 1 / Double(max(c.headDim, 1)).squareRoot(), count: max(c.blockCount, 0))
    return c
  }

  /// The window of each block.
  ///
  /// Mistral's is `sliding_window`, in all of them. Qwen adds a switch and says by `layer_types` or
  /// `max_window_layers` where. Llama has none, whatever its file says.
  private static func readWindows(
    _ fields: ConfigurationFields, _ windows: LlamaTraits.Windows, into c: inout Self
  ) throws(ModelError) {
    let blocks = max(c.blockCount, 0)
    c.windows = Array(repeating: 0, count: blocks)
    let isSwitched = windows == .switched
    let isUsed =
      isSwitched ? try fields.bool("use_sliding_window", default: false) : windows == .everywhere
    var window = 0
    if windows != .none, let size = try fields.int("sliding_window", default: 4096, null: nil) {
      guard size > 0 else {
        throw fields.wrong("sliding_window", .int(size), "a positive number, or null for none")
      }
      if isUsed { window = size }
    }
    let first = isSwitched ? try fields.int("max_window_layers", default: 28) : 0
    for block in 0..<blocks where block >= first { c.windows[block] = window }
    try readLayerTypes(fields, window: window, isSwitched: isSwitched, into: &c)
  }

  /// `layer_types`, which only Qwen's code looks at; elsewhere it must say what is computed.
  private static func readLayerTypes(
    _ fields: ConfigurationFields, window: Int, isSwitched: Bool, into c: inout Self
  ) throws(ModelError) {
    guard let value = fields.value("layer_types") else { return }
    guard let types = value.array, types.count == c.windows.count else {
      throw .inconsistentFields(
        "layer_types has \(value.array?.count ?? 0) entries for \(c.windows.count) layers",
        path: fields.path)
    }
    for (block, type) in types.enumerated() {
      let isSliding: Bool
      switch type.string {
      case "full_attention": isSliding = false
      case "sliding_attention": isSliding = true
      default: throw fields.wrong("layer_types", type, "full_attention, sliding_attention")
      }
      if isSwitched {
        guard !isSliding || window > 0 else {
          throw .inconsistentFields(
            "layer_types asks for sliding attention, and use_sliding_window and sliding_window set "
              + "no window", path: fields.path)
        }
        c.windows[block] = isSliding ? window : 0
      } else if isSliding != (c.windows[block] > 0) {
        throw fields.wrong(
          "layer_types", type,
          c.windows[block] > 0 ? "sliding_attention in all layers" : "full_attention in all layers")
      }
    }
  }
}
