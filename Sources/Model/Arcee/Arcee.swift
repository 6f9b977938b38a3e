extension DecoderFamily {
  /// Arcee (AFM): Llama's attention, and a plain feed-forward network of squared ReLUs.
  static let arcee = DecoderFamily(
    modelType: "arcee",
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          hiddenSize: 2560, intermediateSize: 18_432, maximumPositions: 4096,
          endTokens: [128_001], epsilon: ("rms_norm_eps", 1e-5),
          activation: ("hidden_act", "relu2"), hasFeedForwardBias: true))
    },
    block: { (builder, index) throws(ModelError) in try arceeBlock(&builder, index) })

  /// A block of Arcee.
  ///
  ///     h = x + o_proj(attention(rope(q_proj(n)), rope(k_proj(n)), v_proj(n)))      n = norm(x)
  ///     y = h + down_proj(relu(up_proj(norm(h)))²)
  ///
  /// (Squared ReLU: So et al. 2021, arXiv:2109.08668.)
  private static func arceeBlock(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let path = builder.path(index)
    let first = try builder.norm("\(path).input_layernorm")
    let second = try builder.norm("\(path).post_attention_layernorm")
    return DecoderBlock(
      attention: try builder.attention(index), norm: first,
      feedForward: try builder.plainFeedForward(
        index, expand: "up_proj", contract: "down_proj"),
      norm: second, builder.configuration)
  }
}
