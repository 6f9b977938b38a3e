import JSON

/// What tells the fields of families apart: their names, and the values of absent ones.
///
/// Defaults are those of transformers' configuration classes.
struct FieldTraits: Sendable {
  /// Which windows attention has.
  enum Windows: Sendable {
    /// None, whatever the file says.
    case none
    /// `sliding_window` in all layers.
    case everywhere
    /// By a switch, from a layer on or by `layer_types`.
    case switched
    /// The family reads them itself.
    case own
  }

  /// Where projections of queries, keys and values have biases.
  enum Biases: Sendable {
    /// As `attention_bias` says, and the output projection too.
    case configured
    /// Nowhere in attention.
    case none
    /// On queries, keys and values alone.
    case inputs
    /// The family reads them itself.
    case own
  }

  var vocabularySize = 32_000
  var hiddenSize = 4096
  var intermediateSize = 11_008
  var blockCount = 32
  var headCount = 32
  /// Nil: as many as query heads.
  var keyValueHeadCount: Int?
  /// Whether `num_key_value_heads` may be null, which is as many as query heads.
  var mayKeyValueHeadsBeNull = true
  /// Nil: hidden size over heads.
  var headDim: Int?
  /// Whether null stands for hidden size over heads.
  var mayHeadDimBeNull = true
  var maximumPositions = 2048
  var endTokens: [Int] = []
  var epsilon = (field: "rms_norm_eps", value: 1e-6)
  var activation = (field: "hidden_act", value: "silu")
  var tiesEmbeddings = false
  var biases = Biases.configured
  /// Whether `mlp_bias` is a field.
  var hasFeedForwardBias = false
  /// Whether `pretraining_tp` is a field, by which older code split projections.
  var mayBeSplit = true
  var windows = Windows.none
  /// `sliding_window`; nil for null.
  var slidingWindow: Int? = 4096
  /// Nil: the family reads positions itself.
  var rotary: RotaryTraits? = RotaryTraits()
}

extension DecoderConfiguration {
  /// Reads the fields that most families have.
  ///
  /// Absent fields have the values that transformers 5 gives them; null is a value where it is one
  /// there.
  mutating func read(_ fields: ConfigurationFields, _ traits: FieldTraits) throws(ModelError) {
    vocabularySize = try fields.int("vocab_size", default: traits.vocabularySize)
    hiddenSize = try fields.int("hidden_size", default: traits.hiddenSize)
    intermediateSize = try fields.int("intermediate_size", default: traits.intermediateSize)
    blockCount = try fields.blockCount("num_hidden_layers", default: traits.blockCount)
    headCount = try fields.int("num_attention_heads", default: traits.headCount)
    keyValueHeadCount =
      traits.mayKeyValueHeadsBeNull
      ? try fields.int(
        "num_key_value_heads", default: traits.keyValueHeadCount, null: nil) ?? headCount
      : try fields.int("num_key_value_heads", default: traits.keyValueHeadCount ?? headCount)
    let derived = hiddenSize / max(headCount, 1)
    headDim =
      traits.headDim == nil && traits.mayHeadDimBeNull
      ? try fields.int("head_dim", default: nil, null: nil) ?? derived
      : try fields.int("head_dim", default: traits.headDim ?? derived)
    maximumPositions = try fields.int(
      "max_position_embeddings", default: traits.maximumPositions)
    normEpsilon = try fields.double(traits.epsilon.field, default: traits.epsilon.value)
    activation = try fields.activation(
      traits.activation.field, default: traits.activation.value)
    tiesEmbeddings = try fields.bool("tie_word_embeddings", default: traits.tiesEmbeddings)
    endTokens = try fields.endTokens(default: traits.endTokens)

    switch traits.biases {
    case .inputs: queryKeyValueBias = true
    case .none, .own: break
    case .configured:
      queryKeyValueBias = try fields.bool("attention_bias", default: false)
      outputBias = queryKeyValueBias
    }
    if traits.hasFeedForwardBias {
      feedForwardBias = try fields.bool("mlp_bias", default: false)
    }
    isQuantizedByBitsAndBytes = try fields.isQuantizedByBitsAndBytes()
    if traits.mayBeSplit { try fields.refuse("pretraining_tp", unless: [1], expected: "1") }
    try readWindows(fields, traits.windows, default: traits.slidingWindow)
    if let rotaryTraits = traits.rotary {
      let scheme = try readRotary(fields, rotaryTraits)
      rotary = Array(repeating: scheme, count: max(blockCount, 0))
    }
    attentionScales = Array(
      repeating: 1 / Double(max(headDim, 1)).squareRoot(), count: max(blockCount, 0))
  }

  /// Refuses a head's size that is not the hidden size over the heads.
  mutating func requireDerivedHeadDim(_ fields: ConfigurationFields) throws(ModelError) {
    guard headCount > 0, headDim * headCount == hiddenSize else {
      throw .inconsistentFields(
        "hidden_size \(hiddenSize) is not num_attention_heads \(headCount) times head_dim "
          + "\(headDim)", path: fields.path)
    }
  }

  /// The window of each block.
  ///
  /// Mistral's is `sliding_window`, in all of them. Qwen adds a switch and says by `layer_types` or
  /// `max_window_layers` where. Llama has none, whatever its file says.
  private mutating func readWindows(
    _ fields: ConfigurationFields, _ kind: FieldTraits.Windows, default size: Int?
  ) throws(ModelError) {
    let blocks = max(blockCount, 0)
    windows = Array(repeating: 0, count: blocks)
    if kind == .own { return }
    let isSwitched = kind == .switched
    let isUsed =
      isSwitched ? try fields.bool("use_sliding_window", default: false) : kind == .everywhere
    var window = 0
    if kind != .none, let size = try slidingWindow(fields, default: size), isUsed {
      window = size
    }
    let first = isSwitched ? try fields.int("max_window_layers", default: 28) : 0
    if isSwitched {
      try readLayerTypes(fields, window: window) { $0 >= first && window > 0 }
      return
    }
    for block in 0..<blocks { windows[block] = window }
    for type in try layerTypes(fields) ?? [] where type.isSliding != (window > 0) {
      throw fields.wrong(
        "layer_types", type.value,
        window > 0 ? "sliding_attention in all layers" : "full_attention in all layers")
    }
  }

  /// `sliding_window`; nil for null.
  func slidingWindow(
    _ fields: ConfigurationFields, default standard: Int?
  ) throws(ModelError) -> Int? {
    guard let size = try fields.int("sliding_window", default: standard, null: nil) else {
      return nil
    }
    guard size > 0 else {
      throw fields.wrong("sliding_window", .int(size), "a positive number, or null for none")
    }
    return size
  }

  /// Gives blocks a window as `layer_types` says.
  ///
  /// - Parameters:
  ///   - window: 0 where the other fields set none.
  ///   - isSliding: which blocks have one if the field is absent.
  mutating func readLayerTypes(
    _ fields: ConfigurationFields, window: Int, isSliding: (_ block: Int) -> Bool
  ) throws(ModelError) {
    let types = try layerTypes(fields)
    windows = (0..<max(blockCount, 0)).map { block in
      (types?[block].isSliding ?? isSliding(block)) ? window : 0
    }
    let isAny =
      types?.contains(where: \.isSliding) ?? windows.indices.contains(where: isSliding)
    if window > 0 || !isAny { return }
    throw .inconsistentFields(
      "layer_types asks for sliding attention, and use_sliding_window and sliding_window set "
        + "no window", path: fields.path)
  }

  /// `layer_types`: which blocks have a window; nil where the field is absent.
  private func layerTypes(
    _ fields: ConfigurationFields
  ) throws(ModelError) -> [(value: JSONValue, isSliding: Bool)]? {
    guard let value = fields.value("layer_types") else { return nil }
    guard let types = value.array, types.count == max(blockCount, 0) else {
      throw .inconsistentFields(
        "layer_types has \(value.array?.count ?? 0) entries for \(blockCount) layers",
        path: fields.path)
    }
    var result: [(value: JSONValue, isSliding: Bool)] = []
    for type in types {
      switch type.string {
      case "full_attention": result.append((type, false))
      case "sliding_attention": result.append((type, true))
      default: throw fields.wrong("layer_types", type, "full_attention, sliding_attention")
      }
    }
    return result
  }
}
