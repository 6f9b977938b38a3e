extension DecoderFamily {
  /// StarCoder2: LayerNorm, biases everywhere, a plain feed-forward network.
  static let starcoder2 = DecoderFamily(
    modelType: "starcoder2",
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          vocabularySize: 49_152, hiddenSize: 3072, intermediateSize: 12_288, blockCount: 30,
          headCount: 24, keyValueHeadCount: 2, mayKeyValueHeadsBeNull: false,
          maximumPositions: 4096, endTokens: [50_256], epsilon: ("norm_epsilon", 1e-5),
          activation: ("hidden_act", "gelu_pytorch_tanh"), tiesEmbeddings: true, biases: .own,
          windows: .everywhere, slidingWindow: nil))
      c.norm = .layer
      let bias = try fields.bool("use_bias", default: true)
      (c.queryKeyValueBias, c.outputBias, c.feedForwardBias) = (bias, bias, bias)
      // Published files have fields of an earlier class, of which transformers reads none.
      for field in [
        "activation_function", "attention_softmax_in_fp32", "layer_norm_epsilon",
        "scale_attention_softmax_in_fp32",
      ] { _ = fields.value(field) }
      try fields.refuse("scale_attn_weights", unless: [true], expected: "true")
      try fields.refuse("mlp_type", unless: ["default"], expected: "default")
      try fields.refuse("norm_type", unless: ["layer_norm"], expected: "layer_norm")
    },
    block: { (builder, index) throws(ModelError) in try starcoder2Block(&builder, index) })

  /// A block of StarCoder2.
  ///
  ///     h = x + o_proj(attention(rope(q_proj(n)), rope(k_proj(n)), v_proj(n)))      n = norm(x)
  ///     y = h + c_proj(gelu(c_fc(norm(h))))
  ///
  /// (Lozhkov et al. 2024, arXiv:2402.19173.)
  private static func starcoder2Block(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let path = builder.path(index)
    let first = try builder.norm("\(path).input_layernorm")
    let second = try builder.norm("\(path).post_attention_layernorm")
    return DecoderBlock(
      attention: try builder.attention(index), norm: first,
      feedForward: try builder.plainFeedForward(index, expand: "c_fc", contract: "c_proj"),
      norm: second, builder.configuration)
  }
}
