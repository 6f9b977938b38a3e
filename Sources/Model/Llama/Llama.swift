extension DecoderFamily {
  /// Llama 2 and 3, SmolLM, TinyLlama and their like.
  static let llama = llamaKin(
    "llama", FieldTraits(endTokens: [2], hasFeedForwardBias: true))
  /// Mistral 7B: Llama with a sliding window.
  static let mistral = llamaKin(
    "mistral",
    FieldTraits(
      intermediateSize: 14_336, keyValueHeadCount: 8, mayKeyValueHeadsBeNull: false,
      maximumPositions: 131_072, endTokens: [2], biases: .none, windows: .everywhere))
  /// Qwen2 and Qwen2.5: Llama with biases on q, k and v.
  static let qwen2 = llamaKin(
    "qwen2",
    FieldTraits(
      vocabularySize: 151_936, intermediateSize: 22_016, keyValueHeadCount: 32,
      maximumPositions: 32_768, biases: .inputs, windows: .switched))
  /// Qwen3: Llama with a norm on each head's queries and keys.
  static let qwen3 = llamaKin(
    "qwen3",
    FieldTraits(
      vocabularySize: 151_936, intermediateSize: 22_016, keyValueHeadCount: 32, headDim: 128,
      maximumPositions: 32_768, windows: .switched)
  ) { (_, c) throws(ModelError) in c.queryKeyNorm = .perHead }

  /// A family whose blocks are Llama's.
  ///
  /// - Parameter rest: reads what else its configuration has.
  static func llamaKin(
    _ modelType: String, _ traits: FieldTraits,
    _ rest:
      @escaping @Sendable (ConfigurationFields, inout DecoderConfiguration)
      throws(ModelError) -> Void = { (_, _) throws(ModelError) in }
  ) -> DecoderFamily {
    DecoderFamily(
      modelType: modelType,
      read: { (fields, c) throws(ModelError) in
        try c.read(fields, traits)
        try rest(fields, &c)
      },
      block: { (builder, index) throws(ModelError) in try llamaBlock(&builder, index) })
  }

  /// A block of Llama and its kin.
  ///
  ///     h = x + o_proj(attention(rope(q_norm(q_proj(n))), rope(k_norm(k_proj(n))), v_proj(n)))
  ///     y = h + down_proj(silu(gate_proj(m)) ⊙ up_proj(m))         n = norm(x), m = norm(h)
  ///
  /// (Touvron et al. 2023, arXiv:2302.13971; the norms of queries and keys are Qwen3's.)
  static func llamaBlock(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let path = builder.path(index)
    let inputNorm = try builder.norm("\(path).input_layernorm")
    let postNorm = try builder.norm("\(path).post_attention_layernorm")
    return DecoderBlock(
      attention: try builder.attention(index), norm: inputNorm,
      feedForward: try builder.gatedFeedForward(index), norm: postNorm,
      builder.configuration)
  }
}
