import JSON
import Model

/// Prefix tuning's fields, as `PrefixTuningConfig` of Hugging Face PEFT 0.21 names them.
struct PrefixTuningConfiguration {
  let fields: VirtualTokenFields
  /// `prefix_projection`: whether a small network makes the prefix.
  let isProjected: Bool
  /// `encoder_hidden_size`: that network's width; nil stands for the features of a key row.
  let hiddenSize: Int?
  /// `init_weights`: `zero`, or nil for N(0, 1).
  let startsAtZero: Bool

  /// What a user may set.
  static let fields = MethodField.joined([
    .virtualTokens,
    [
      MethodField("prefix_projection", .flag, "", "make the prefix by an encoder"),
      MethodField(
        "encoder_hidden_size", .integer(minimum: 1, maximum: 1 << 24), "N",
        "width of the encoder (default: the keys')"),
      MethodField(
        "init_weights", .choice(["zero"]), "NAME", "zero (default: drawn from N(0, 1))"),
    ],
  ])

  /// Reads and checks every field.
  init(_ options: MethodOptions) throws(PEFTError) {
    try options.readCommon(peftType: "PREFIX_TUNING")
    fields = try VirtualTokenFields(options)
    isProjected = try options.bool("prefix_projection")
    hiddenSize = try options.optionalInt("encoder_hidden_size")
    startsAtZero = try options.checked("init_weights") != nil
    try options.finish()
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  ///
  /// PEFT rewrites `token_dim` and `num_attention_heads` for grouped queries: K·D and K.
  func json(baseName: String, decoder: DecoderConfiguration) -> JSONValue {
    let width = decoder.keyValueSize
    var members = fields.json(
      peftType: "PREFIX_TUNING", baseName: baseName, decoder: decoder, width: width,
      headCount: decoder.keyValueHeadCount)
    members["encoder_hidden_size"] = .int(hiddenSize ?? width)
    members["init_weights"] = startsAtZero ? "zero" : .null
    members["prefix_projection"] = .bool(isProjected)
    return .object(members)
  }
}
