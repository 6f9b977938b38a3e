import JSON

extension DecoderFamily {
  /// Gemma 2: scores and logits with caps, a window in every second block.
  static let gemma2 = gemma(
    "gemma2",
    FieldTraits(
      vocabularySize: 256_000, hiddenSize: 2304, intermediateSize: 9216, blockCount: 26,
      headCount: 8, keyValueHeadCount: 4, mayKeyValueHeadsBeNull: false, headDim: 256,
      maximumPositions: 8192, endTokens: [1],
      activation: ("hidden_activation", "gelu_pytorch_tanh"), tiesEmbeddings: true, windows: .own)
  ) { (fields, c) throws(ModelError) in
    let window = try c.slidingWindow(fields, default: 4096) ?? 0
    try c.readLayerTypes(fields, window: window) { $0 % 2 == 0 }
    c.attentionSoftCap = try fields.softCap("attn_logit_softcapping", default: 50)
    c.logitSoftCap = try fields.softCap("final_logit_softcapping", default: 30)
  }

  /// Gemma 3, the text model: norms of queries and keys, other positions in blocks with a window.
  static let gemma3 = gemma(
    "gemma3_text",
    FieldTraits(
      vocabularySize: 262_208, hiddenSize: 2304, intermediateSize: 9216, blockCount: 26,
      headCount: 8, keyValueHeadCount: 4, mayKeyValueHeadsBeNull: false, headDim: 256,
      maximumPositions: 131_072, endTokens: [1],
      activation: ("hidden_activation", "gelu_pytorch_tanh"), tiesEmbeddings: true, windows: .own,
      rotary: nil)
  ) { (fields, c) throws(ModelError) in
    c.queryKeyNorm = .perHead
    let window = try c.slidingWindow(fields, default: 4096) ?? 0
    let pattern = try fields.int("sliding_window_pattern", default: 6)
    guard pattern > 0 else {
      throw fields.wrong("sliding_window_pattern", .int(pattern), "a positive number")
    }
    // Written along by transformers, and not read again.
    _ = fields.value("_sliding_window_pattern")
    try c.readLayerTypes(fields, window: window) { ($0 + 1) % pattern != 0 }
    // transformers has the field and no use for it.
    try fields.refuse("attn_logit_softcapping")
    c.logitSoftCap = try fields.softCap("final_logit_softcapping", default: 0)
    let (global, local) = try c.readTwoPositions(fields)
    c.rotary = c.windows.map { $0 > 0 ? local : global }
  }

  private static func gemma(
    _ modelType: String, _ traits: FieldTraits,
    _ rest:
      @escaping @Sendable (ConfigurationFields, inout DecoderConfiguration)
      throws(ModelError) -> Void
  ) -> DecoderFamily {
    DecoderFamily(
      modelType: modelType,
      read: { (fields, c) throws(ModelError) in
        try c.read(fields, traits)
        c.norm = .rmsAroundOne
        c.tokenScale = Double(max(c.hiddenSize, 0)).squareRoot()
        let scalar = try fields.double("query_pre_attn_scalar", default: 256)
        guard scalar > 0 else {
          throw fields.wrong("query_pre_attn_scalar", .double(scalar), "a positive number")
        }
        c.attentionScales = c.attentionScales.map { _ in 1 / scalar.squareRoot() }
        try fields.refuse("use_bidirectional_attention", expected: "false")
        // `hidden_activation` counts, whatever the older field says.
        _ = fields.value("hidden_act")
        try rest(fields, &c)
      },
      block: { (builder, index) throws(ModelError) in try gemmaBlock(&builder, index) })
  }

  /// A block of Gemma 2 or 3, with norms whose weights are stored as their difference from 1.
  ///
  ///     h = x + norm₂(o_proj(attention(q, k, v)))                       of norm₁(x)
  ///     y = h + norm₄(down_proj(gelu(gate_proj(m)) ⊙ up_proj(m)))       m = norm₃(h)
  ///
  /// (Gemma Team 2024, arXiv:2408.00118; 2025, arXiv:2503.19786.)
  private static func gemmaBlock(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let path = builder.path(index)
    let attentionNorms = HalfNorms(
      before: try builder.norm("\(path).input_layernorm"),
      after: try builder.norm("\(path).post_attention_layernorm"))
    let feedForwardNorms = HalfNorms(
      before: try builder.norm("\(path).pre_feedforward_layernorm"),
      after: try builder.norm("\(path).post_feedforward_layernorm"))
    return DecoderBlock(
      attention: try builder.attention(index), norms: attentionNorms,
      feedForward: try builder.gatedFeedForward(index), norms: feedForwardNorms,
      builder.configuration)
  }
}

extension ConfigurationFields {
  /// A cap, which null takes away.
  fileprivate func softCap(_ name: String, default standard: Double) throws(ModelError) -> Double {
    guard has(name) else { return standard }
    guard let value = value(name) else { return 0 }
    guard let cap = value.double, cap > 0 else {
      throw wrong(name, value, "a positive number, or null for none")
    }
    return cap
  }
}

extension DecoderConfiguration {
  /// Gemma 3's positions: those of `full_attention`, and those of `sliding_attention`.
  ///
  /// Older files have `rope_theta`, `rope_scaling` and `rope_local_base_freq` instead.
  fileprivate mutating func readTwoPositions(
    _ fields: ConfigurationFields
  ) throws(ModelError) -> (global: RotaryScheme, local: RotaryScheme) {
    let name = "rope_parameters"
    let kinds = ["full_attention", "sliding_attention"]
    let parameters = fields.value(name)
    for (key, value) in parameters?.object ?? [:]
    where !kinds.contains(key) || !(value.isNull || value.object != nil) {
      throw fields.wrong("\(name).\(key)", value, "full_attention and sliding_attention, objects")
    }
    let older = fields.value("rope_scaling")?.object ?? [:]
    let thetas = [
      try fields.double("rope_theta", default: 1_000_000),
      try fields.double("rope_local_base_freq", default: 10_000),
    ]
    var schemes: [RotaryScheme] = []
    for (kind, theta) in zip(kinds, thetas) {
      var members = parameters?[kind]?.object ?? [:]
      if kind == "full_attention" { members.merge(older) { $1 } }
      let reader = try RotaryFields("\(name).\(kind)", .object(members), fields, RotaryTraits())
      let base = try reader.positive("rope_theta", default: theta)
      _ = try reader.share(default: 1)
      schemes.append(
        RotaryScheme(
          theta: base, scaling: try reader.scaling(&self, features: headDim), features: headDim))
      fields.report(members: reader.unread, of: "\(name).\(kind)")
    }
    return (schemes[0], schemes[1])
  }
}
