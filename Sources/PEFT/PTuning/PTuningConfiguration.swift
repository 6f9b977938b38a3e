import JSON
import Model

/// P-tuning's fields, as `PromptEncoderConfig` of Hugging Face PEFT 0.21 names them.
struct PTuningConfiguration {
  /// `encoder_reparameterization_type`.
  enum Kind: String {
    /// A bidirectional LSTM and two linear layers, the paper's.
    case lstm = "LSTM"
    /// Three linear layers, PEFT's default.
    case mlp = "MLP"
  }

  let fields: VirtualTokenFields
  let kind: Kind
  /// `encoder_hidden_size`; nil stands for the base's hidden size.
  let hiddenSize: Int?
  /// `encoder_num_layers`; the MLP always has three.
  let layerCount: Int
  /// `encoder_dropout`, between LSTM layers alone.
  let dropout: Double

  /// What a user may set.
  static let fields = MethodField.joined([
    .virtualTokens,
    [
      MethodField(
        "encoder_reparameterization_type", .choice(["MLP", "LSTM"]), default: "LSTM", "NAME",
        "MLP or LSTM"),
      MethodField(
        "encoder_hidden_size", .integer(minimum: 1, maximum: 1 << 24), "N",
        "width of the encoder (default: the base's)"),
      MethodField(
        "encoder_num_layers", .integer(minimum: 1, maximum: 64), default: 2, "N",
        "layers of the LSTM"),
      MethodField("encoder_dropout", .probability, default: 0.0, "P", "dropout in the LSTM"),
    ],
  ])

  /// The usual rate of what an encoder makes.
  static let suggestedRate = SuggestedRate.encoders(7e-4)

  /// Reads and checks every field.
  ///
  /// An `adapter_config.json` without a type means PEFT's default, MLP; a user who says nothing gets
  /// the paper's LSTM. The field is always written.
  init(_ options: MethodOptions) throws(PEFTError) {
    let isFile = options.value("peft_type") != nil
    try options.readCommon(peftType: "P_TUNING")
    fields = try VirtualTokenFields(options)
    let word = try options.word(
      "encoder_reparameterization_type", default: isFile ? "MLP" : "LSTM")
    kind = Kind(rawValue: word) ?? .mlp
    hiddenSize = try options.optionalInt("encoder_hidden_size")
    layerCount = try options.int("encoder_num_layers")
    dropout = try options.double("encoder_dropout")
    try options.finish()
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  func json(baseName: String, decoder: DecoderConfiguration) -> JSONValue {
    var members = fields.json(
      peftType: "P_TUNING", baseName: baseName, decoder: decoder, width: decoder.hiddenSize,
      headCount: decoder.headCount)
    members["encoder_dropout"] = .double(dropout)
    members["encoder_hidden_size"] = .int(hiddenSize ?? decoder.hiddenSize)
    members["encoder_num_layers"] = .int(layerCount)
    members["encoder_reparameterization_type"] = .string(kind.rawValue)
    return .object(members)
  }
}
