extension DecoderFamily {
  /// OLMo 2: norms behind attention and feed-forward, not in front, and of all queries and keys
  /// together.
  static let olmo2 = DecoderFamily(
    modelType: "olmo2",
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          vocabularySize: 50_304, mayHeadDimBeNull: false, endTokens: [50_279],
          epsilon: ("rms_norm_eps", 1e-5)))
      c.queryKeyNorm = .whole
    },
    block: { (builder, index) throws(ModelError) in try olmo2Block(&builder, index) })

  /// A block of OLMo 2.
  ///
  ///     h = x + norm₁(o_proj(attention(rope(q_norm(q_proj(x))), rope(k_norm(k_proj(x))), v_proj(x))))
  ///     y = h + norm₂(down_proj(silu(gate_proj(h)) ⊙ up_proj(h)))
  ///
  /// (OLMo et al. 2024, arXiv:2501.00656.)
  private static func olmo2Block(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let path = builder.path(index)
    let first = try builder.norm("\(path).post_attention_layernorm")
    let second = try builder.norm("\(path).post_feedforward_layernorm")
    return DecoderBlock(
      attention: try builder.attention(index), norms: HalfNorms(after: first),
      feedForward: try builder.gatedFeedForward(index), norms: HalfNorms(after: second),
      builder.configuration)
  }
}
