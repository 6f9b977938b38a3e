/// What tells Llama's kin apart: the values of absent fields, and what each has in its blocks.
///
/// Defaults are those of transformers' configuration classes.
struct LlamaTraits: Sendable {
  /// Which windows attention has.
  enum Windows: Sendable {
    /// None, whatever the file says.
    case none
    /// `sliding_window` in all layers.
    case everywhere
    /// By a switch, from a layer on or by `layer_types`.
    case switched
  }

  /// Where projections of queries, keys and values have biases.
  enum Biases: Sendable {
    /// As `attention_bias` says, and the output projection too.
    case configured
    /// Nowhere in attention.
    case none
    /// On queries, keys and values alone.
    case inputs
  }

  var vocabularySize = 32_000
  var intermediateSize = 11_008
  /// Nil: as many as query heads.
  var keyValueHeadCount: Int?
  /// Whether `num_key_value_heads` may be null, which is as many as query heads.
  var mayKeyValueHeadsBeNull = true
  /// Nil: hidden size over heads, for which null stands too.
  var headDim: Int?
  var maximumPositions = 2048
  var endTokens: [Int] = []
  var biases = Biases.configured
  /// Whether `mlp_bias` is a field.
  var hasFeedForwardBias = false
  /// Per-head norms of queries and keys.
  var hasHeadNorms = false
  var windows = Windows.none
}

extension DecoderFamily {
  static let llama = kin(
    .llama, LlamaTraits(endTokens: [2], hasFeedForwardBias: true))
  static let mistral = kin(
    .mistral,
    LlamaTraits(
      intermediateSize: 14_336, keyValueHeadCount: 8, mayKeyValueHeadsBeNull: false,
      maximumPositions: 131_072, endTokens: [2], biases: .none, windows: .everywhere))
  static let qwen2 = kin(
    .qwen2,
    LlamaTraits(
      vocabularySize: 151_936, intermediateSize: 22_016, keyValueHeadCount: 32,
      maximumPositions: 32_768, biases: .inputs, windows: .switched))
  static let qwen3 = kin(
    .qwen3,
    LlamaTraits(
      vocabularySize: 151_936, intermediateSize: 22_016, keyValueHeadCount: 32, headDim: 128,
      maximumPositions: 32_768, hasHeadNorms: true, windows: .switched))

  private static func kin(_ modelType: ModelFamily, _ traits: LlamaTraits) -> DecoderFamily {
    let names = ModuleNames(
      blocks: "model.layers", attention: "self_attn", feedForward: "mlp",
      embedding: "model.embed_tokens")
    return DecoderFamily(
      modelType: modelType, names: names,
      read: { (fields) throws(ModelError) in
        try .llama(
          fields, traits, DecoderConfiguration(family: modelType, names: names))
      },
      build: { (weights, configuration, arithmetic) throws(ModelError) in
        try Decoder.llamaParts(weights, configuration, arithmetic)
      })
  }
}
