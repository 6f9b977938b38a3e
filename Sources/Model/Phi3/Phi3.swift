extension DecoderFamily {
  /// Phi-3 and Phi-4 mini: Llama with fused projections, and positions of which a part may turn.
  static let phi3 = DecoderFamily(
    modelType: "phi3",
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          vocabularySize: 32_064, hiddenSize: 3072, intermediateSize: 8192,
          mayHeadDimBeNull: false, maximumPositions: 4096, endTokens: [32_000],
          epsilon: ("rms_norm_eps", 1e-5),
          biases: .none, windows: .everywhere, slidingWindow: nil,
          rotary: RotaryTraits(
            share: ("partial_rotary_factor", 1), isLongRoPE: true, originalPositions: 4096)))
      for field in ["attention_bias", "mlp_bias", "lm_head_bias"] {
        try fields.refuse(field, expected: "false")
      }
      // Says nothing where positions are not stretched.
      _ = fields.value("original_max_position_embeddings")
      for field in ["full_attn_mod", "interpolate_factor"] {
        try fields.refuse(field, unless: [1, 1.0], expected: "1")
      }
    },
    block: { (builder, index) throws(ModelError) in try phi3Block(&builder, index) })

  /// A block of Phi-3.
  ///
  ///     h = x + o_proj(attention(rope(q), rope(k), v))      [q k v] = qkv_proj(norm(x))
  ///     y = h + down_proj(silu(g) ⊙ u)                        [g u] = gate_up_proj(norm(h))
  ///
  /// (Abdin et al. 2024, arXiv:2404.14219.)
  private static func phi3Block(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let (path, c) = (builder.path(index), builder.configuration)
    let (h, f) = (c.hiddenSize, c.intermediateSize)
    let first = try builder.norm("\(path).input_layernorm")
    let second = try builder.norm("\(path).post_attention_layernorm")
    let fused = try builder.linear(
      "\(path).self_attn.qkv_proj", block: index, from: h, to: c.querySize + 2 * c.keyValueSize,
      bias: false)
    let output = try builder.linear(
      "\(path).self_attn.o_proj", block: index, from: c.querySize, to: h, bias: false)
    let gateAndUp = try builder.linear(
      "\(path).mlp.gate_up_proj", block: index, from: h, to: 2 * f, bias: false)
    let down = try builder.linear(
      "\(path).mlp.down_proj", block: index, from: f, to: h, bias: false)
    return DecoderBlock(
      attention: AttentionBody(
        source: FusedQueryKeyValue(fused, c), core: builder.core(block: index), output: output),
      norm: first,
      feedForward: GatedFeedForward(gateAndUp: gateAndUp, down: down, activation: c.activation),
      norm: second, c)
  }
}
