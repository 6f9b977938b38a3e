import JSON

extension DecoderFamily {
  static let gpt2: DecoderFamily = {
    let names = ModuleNames(
      blocks: "transformer.h", attention: "attn", feedForward: "mlp",
      embedding: "transformer.wte")
    return DecoderFamily(
      modelType: .gpt2,
      aliases: [
        "hidden_size": "n_embd", "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
      ], names: names,
      read: { (fields) throws(ModelError) in
        try .gpt2(fields, DecoderConfiguration(family: .gpt2, names: names))
      },
      build: { (weights, configuration, arithmetic) throws(ModelError) in
        try Decoder.gpt2Parts(weights, configuration, arithmetic)
      })
  }()
}

extension DecoderConfiguration {
  /// Reads the fields of `GPT2Config`; absent ones have the values that transformers 5 gives them.
  ///
  /// - Parameter empty: the configuration to fill.
  static func gpt2(_ fields: ConfigurationFields, _ empty: Self) throws(ModelError) -> Self {
    var c = empty
    c.vocabularySize = try fields.int("vocab_size", default: 50_257)
    c.hiddenSize = try fields.int("n_embd", default: 768)
    c.blockCount = try fields.int("n_layer", default: 12)
    c.headCount = try fields.int("n_head", default: 12)
    c.intermediateSize = try fields.int("n_inner", default: nil, null: nil) ?? 4 * c.hiddenSize
    c.keyValueHeadCount = c.headCount
    guard c.headCount > 0, c.hiddenSize % c.headCount == 0 else {
      throw .inconsistentFields(
        "n_embd \(c.hiddenSize) is not a multiple of n_head \(c.headCount)", path: fields.path)
    }
    c.headDim = c.hiddenSize / c.headCount
    c.maximumPositions = try fields.int("n_positions", default: 1024)
    c.normEpsilon = try fields.double("layer_norm_epsilon", default: 1e-5)
    c.activation = try fields.activation("activation_function", default: "gelu_new")
    c.tiesEmbeddings = try fields.bool("tie_word_embeddings", default: true)
    (c.queryKeyValueBias, c.outputBias, c.feedForwardBias) = (true, true, true)
    c.endTokens = try fields.endTokens(default: [50_256])
    if try fields.bool("add_cross_attention", default: false) {
      throw fields.wrong("add_cross_attention", true, "false")
    }
    // The order of the same operations: nothing that the results depend on.
    _ = try fields.bool("reorder_and_upcast_attn", default: false)
    c.isQuantizedByBitsAndBytes = try fields.isQuantizedByBitsAndBytes()

    let scales = try fields.bool("scale_attn_weights", default: true)
    let byLayer = try fields.bool("scale_attn_by_inverse_layer_idx", default: false)
    c.windows = Array(repeating: 0, count: max(c.blockCount, 0))
    c.attentionScales = (0..<max(c.blockCount, 0)).map { block in
      (scales ? 1 / Double(c.headDim).squareRoot() : 1) / (byLayer ? Double(block + 1) : 1)
    }
    return c
  }
}
