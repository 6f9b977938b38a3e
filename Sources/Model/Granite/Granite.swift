extension DecoderFamily {
  /// Granite 3: Llama with a multiplier on embeddings, scores, each half's result and logits.
  static let granite = llamaKin(
    "granite",
    FieldTraits(mayHeadDimBeNull: false, endTokens: [2], hasFeedForwardBias: true)
  ) { (fields, c) throws(ModelError) in
    c.embeddingScale = try fields.double("embedding_multiplier", default: 1)
    c.residualScale = try fields.double("residual_multiplier", default: 1)
    let score = try fields.double("attention_multiplier", default: 1)
    c.attentionScales = c.attentionScales.map { _ in score }
    let divisor = try fields.double("logits_scaling", default: 1)
    guard divisor != 0 else {
      throw fields.wrong("logits_scaling", .double(divisor), "a number that divides logits")
    }
    c.logitScale = 1 / divisor
  }
}
