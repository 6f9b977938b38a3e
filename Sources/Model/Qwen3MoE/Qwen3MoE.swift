import JSON

extension DecoderFamily {
  /// Qwen3 with experts: Qwen3-30B-A3B and its like.
  static let qwen3MoE = DecoderFamily(
    modelType: "qwen3_moe",
    aliases: ["num_local_experts": "num_experts"],
    read: { (fields, c) throws(ModelError) in
      try c.read(
        fields,
        FieldTraits(
          vocabularySize: 151_936, hiddenSize: 2048, intermediateSize: 6144, blockCount: 24,
          keyValueHeadCount: 4, mayKeyValueHeadsBeNull: false, mayHeadDimBeNull: false,
          maximumPositions: 32_768, windows: .own))
      try c.readQwen3MoE(fields)
    },
    block: { (builder, index) throws(ModelError) in try qwen3MoEBlock(&builder, index) })

  /// A block of Qwen3, whose feed-forward network is one or many.
  ///
  /// (Yang et al. 2025, arXiv:2505.09388.)
  private static func qwen3MoEBlock(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let path = builder.path(index)
    let inputNorm = try builder.norm("\(path).input_layernorm")
    let postNorm = try builder.norm("\(path).post_attention_layernorm")
    let attention = try builder.attention(index)
    let feedForward: any HalfBody
    if let experts = builder.configuration.experts, experts.blocks[index] {
      feedForward = try builder.expertFeedForward(index, experts)
    } else {
      feedForward = try builder.gatedFeedForward(index)
    }
    return DecoderBlock(
      attention: attention, norm: inputNorm, feedForward: feedForward, norm: postNorm,
      builder.configuration)
  }
}

extension DecoderConfiguration {
  fileprivate mutating func readQwen3MoE(_ fields: ConfigurationFields) throws(ModelError) {
    queryKeyNorm = .perHead
    let blocks = max(blockCount, 0)
    let usesWindow = try fields.bool("use_sliding_window", default: false)
    let window = try slidingWindow(fields, default: 4096)
    windows = Array(repeating: usesWindow ? window ?? 0 : 0, count: blocks)

    let count = try fields.int("num_experts", default: 128)
    let step = try fields.int("decoder_sparse_step", default: 1)
    guard step > 0 else {
      throw fields.wrong("decoder_sparse_step", .int(step), "a positive whole number")
    }
    let dense = try fields.blockNumbers("mlp_only_layers")
    let parts = ExpertConfiguration(
      count: count, countPerToken: try fields.int("num_experts_per_tok", default: 8),
      intermediateSize: try fields.int("moe_intermediate_size", default: 768),
      normalizesWeights: try fields.bool("norm_topk_prob", default: false),
      blocks: (0..<blocks).map { count > 0 && ($0 + 1) % step == 0 && !dense.contains($0) })
    if parts.blocks.contains(true) { experts = parts }
    // A loss of its own, to which its coefficient belongs.
    if try fields.bool("output_router_logits", default: false) {
      throw fields.wrong("output_router_logits", true, "false")
    }
    _ = try fields.double("router_aux_loss_coef", default: 0.001)
  }
}

extension ConfigurationFields {
  /// A list of numbers of blocks; empty where the field is absent or null.
  fileprivate func blockNumbers(_ name: String) throws(ModelError) -> Set<Int> {
    guard let value = value(name) else { return [] }
    let numbers = value.array?.compactMap(\.int) ?? []
    guard let elements = value.array, numbers.count == elements.count else {
      throw wrong(name, value, "a list of blocks' numbers, or null")
    }
    return Set(numbers)
  }
}
