import JSON

extension DecoderFamily {
  /// SmolLM3: Llama, some of whose blocks do not turn queries and keys (arXiv:2501.18795).
  static let smolLM3 = llamaKin(
    "smollm3",
    FieldTraits(
      vocabularySize: 128_256, hiddenSize: 2048, blockCount: 36, headCount: 16,
      keyValueHeadCount: 4, mayHeadDimBeNull: false, maximumPositions: 32_768, endTokens: [128_001],
      tiesEmbeddings: true,
      hasFeedForwardBias: true, mayBeSplit: false, windows: .own,
      rotary: RotaryTraits(theta: ("rope_theta", 2_000_000)))
  ) { (fields, c) throws(ModelError) in
    // How the model was trained: transformers' class has no use for it.
    _ = fields.value("pretraining_tp")
    let turns = try c.turningBlocks(fields)
    for block in turns.indices where !turns[block] { c.rotary[block] = nil }
    let isUsed = try fields.bool("use_sliding_window", default: false)
    let size = try c.slidingWindow(fields, default: nil)
    let window = isUsed ? size ?? 0 : 0
    try c.readLayerTypes(fields, window: window) { window > 0 && !turns[$0] }
  }
}

extension DecoderConfiguration {
  /// `no_rope_layers`, which has 1 for a block with rotary positions and 0 for one without; where it
  /// is absent, every block but one in `no_rope_layer_interval` has them.
  fileprivate func turningBlocks(_ fields: ConfigurationFields) throws(ModelError) -> [Bool] {
    let name = "no_rope_layers"
    let interval = try fields.int("no_rope_layer_interval", default: 4)
    guard let value = fields.value(name) else {
      guard interval > 0 else {
        throw fields.wrong("no_rope_layer_interval", .int(interval), "a positive number")
      }
      return (0..<max(blockCount, 0)).map { ($0 + 1) % interval != 0 }
    }
    let flags = value.array?.compactMap(\.int) ?? []
    guard flags.count == value.array?.count, flags.count >= blockCount,
      flags.allSatisfy({ (0...1).contains($0) })
    else {
      throw fields.wrong(
        name, value, "a list of 0 or 1, one for each of num_hidden_layers \(blockCount) blocks")
    }
    return flags.prefix(max(blockCount, 0)).map { $0 == 1 }
  }
}
