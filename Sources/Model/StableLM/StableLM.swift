extension DecoderFamily {
  /// StableLM: Llama with LayerNorm, a part of whose heads turns, in parallel where it says so.
  static let stableLM = DecoderFamily(
    modelType: "stablelm",
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          vocabularySize: 50_304, hiddenSize: 2560, intermediateSize: 6912,
          keyValueHeadCount: 32, mayKeyValueHeadsBeNull: false, maximumPositions: 4096,
          endTokens: [0], epsilon: ("layer_norm_eps", 1e-5), biases: .own,
          rotary: RotaryTraits(share: ("partial_rotary_factor", 0.25))))
      try c.requireDerivedHeadDim(fields)
      c.norm = .layer
      c.queryKeyValueBias = try fields.bool("use_qkv_bias", default: false)
      c.isParallel = try fields.bool("use_parallel_residual", default: false)
      // A norm of its own for each head.
      if try fields.bool("qk_layernorm", default: false) {
        throw fields.wrong("qk_layernorm", true, "false")
      }
    },
    block: { (builder, index) throws(ModelError) in try stableLMBlock(&builder, index) })

  /// A block of StableLM (Bellagente et al. 2024, arXiv:2402.17834): Llama's, or in parallel
  ///
  ///     y = x + attention(norm(x)) + feedForward(norm(x))
  private static func stableLMBlock(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let (path, c) = (builder.path(index), builder.configuration)
    let first = try builder.norm("\(path).input_layernorm")
    let second =
      c.isParallel ? first : try builder.norm("\(path).post_attention_layernorm")
    return DecoderBlock(
      attention: try builder.attention(index), norm: first,
      feedForward: try builder.gatedFeedForward(index), norm: second, c)
  }
}
