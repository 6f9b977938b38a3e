extension DecoderFamily {
  /// GPT-NeoX and Pythia: attention and feed-forward side by side, and a projection that gives query,
  /// key and value head by head.
  static let gptNeoX = DecoderFamily(
    modelType: "gpt_neox",
    names: ModuleNames(
      blocks: "gpt_neox.layers", attention: "attention", embedding: "gpt_neox.embed_in",
      finalNorm: "gpt_neox.final_layer_norm", savedHead: "embed_out"),
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          vocabularySize: 50_432, hiddenSize: 6144, intermediateSize: 24_576, blockCount: 44,
          headCount: 64, endTokens: [2], epsilon: ("layer_norm_eps", 1e-5),
          activation: ("hidden_act", "gelu"), biases: .own,
          rotary: RotaryTraits(
            theta: ("rotary_emb_base", 10_000), share: ("rotary_pct", 0.25))))
      // transformers' class has no such field.
      c.keyValueHeadCount = c.headCount
      try c.requireDerivedHeadDim(fields)
      c.norm = .layer
      c.queryKeyValueBias = try fields.bool("attention_bias", default: true)
      c.outputBias = c.queryKeyValueBias
      c.feedForwardBias = true
      c.isParallel = try fields.bool("use_parallel_residual", default: true)
    },
    block: { (builder, index) throws(ModelError) in try gptNeoXBlock(&builder, index) },
    // Older versions of transformers saved the causal masks along with the weights.
    savedBuffers: [
      ".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq",
    ])

  /// A block of GPT-NeoX, in parallel or not.
  ///
  ///     y = x + dense(attention(rope(q), rope(k), v)) + dense_4h_to_h(gelu(dense_h_to_4h(norm₂(x))))
  ///
  /// with q, k and v of each head in `query_key_value(norm₁(x))`. (Black et al. 2022,
  /// arXiv:2204.06745.)
  private static func gptNeoXBlock(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let (path, c) = (builder.path(index), builder.configuration)
    let h = c.hiddenSize
    let first = try builder.norm("\(path).input_layernorm")
    let second = try builder.norm("\(path).post_attention_layernorm")
    let fused = try builder.linear(
      "\(path).attention.query_key_value", block: index, from: h, to: 3 * h,
      bias: c.queryKeyValueBias)
    let output = try builder.linear(
      "\(path).attention.dense", block: index, from: h, to: h, bias: c.outputBias)
    return DecoderBlock(
      attention: AttentionBody(
        source: FusedQueryKeyValue(fused, order: .headByHead, c),
        core: builder.core(block: index), output: output),
      norm: first,
      feedForward: try builder.plainFeedForward(
        index, expand: "dense_h_to_4h", contract: "dense_4h_to_h"),
      norm: second, c)
  }
}
