import JSON
import Model

/// Prompt tuning's fields, as `PromptTuningConfig` of Hugging Face PEFT 0.21 names them.
///
/// `prompt_tuning_init_token_ids` is ours: the tokens of `prompt_tuning_init_text`, special ones that
/// the tokenizer adds included. Whoever has the tokenizer gives them; they are not written to files.
struct PromptTuningConfiguration {
  /// How the prompt starts.
  enum Initialization: Hashable {
    /// N(0, 1): far larger than trained embeddings, a slow start.
    case random
    /// Rows of the embedding table for random tokens.
    case sampleVocabulary
    /// Rows of the embedding table for a text's tokens; empty where only a file is read.
    case text([Int])
  }

  let fields: VirtualTokenFields
  let initialization: Initialization
  let source: String
  private let text: String?
  private let tokenizer: String?
  private let tokenizerOptions: JSONValue

  /// What a user may set.
  static let fields = MethodField.joined([
    .virtualTokens,
    [
      MethodField(
        "prompt_tuning_init", .choice(["RANDOM", "SAMPLE_VOCAB", "TEXT"]), default: "RANDOM",
        "NAME", "RANDOM, SAMPLE_VOCAB or TEXT"),
      MethodField("prompt_tuning_init_text", .text, "TEXT", "where TEXT starts"),
      MethodField(
        "tokenizer_name_or_path", .text, "PATH", "tokenizer of that text (default: the model's)"),
    ],
  ])

  /// Reads and checks every field.
  init(_ options: MethodOptions) throws(PEFTError) {
    source = options.source
    try options.readCommon(peftType: "PROMPT_TUNING")
    fields = try VirtualTokenFields(options)
    let kind = try options.word("prompt_tuning_init")
    text = options.value("prompt_tuning_init_text")?.string
    tokenizer = options.value("tokenizer_name_or_path")?.string
    tokenizerOptions = options.value("tokenizer_kwargs") ?? .null
    let ids = options.value("prompt_tuning_init_token_ids")?.array?.compactMap(\.int) ?? []
    try options.finish()
    if kind == "TEXT" && text == nil {
      throw .inconsistentFields(
        "prompt_tuning_init is TEXT and prompt_tuning_init_text is missing",
        source: options.source)
    }
    if kind != "TEXT" && !tokenizerOptions.isEmpty {
      throw .inconsistentFields(
        "tokenizer_kwargs is given and prompt_tuning_init is not TEXT", source: options.source)
    }
    initialization =
      switch kind {
      case "TEXT": .text(ids)
      case "SAMPLE_VOCAB": .sampleVocabulary
      default: .random
      }
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  ///
  /// PEFT asks for text and tokenizer of a `TEXT` prompt even when it loads a finished one; both are
  /// written, the tokenizer as the base's where none was named.
  func json(baseName: String, decoder: DecoderConfiguration) -> JSONValue {
    var members = fields.json(
      peftType: "PROMPT_TUNING", baseName: baseName, decoder: decoder, width: decoder.hiddenSize,
      headCount: decoder.headCount)
    let kind: JSONValue
    switch initialization {
    case .random: kind = "RANDOM"
    case .sampleVocabulary: kind = "SAMPLE_VOCAB"
    case .text: kind = "TEXT"
    }
    let isText = kind == "TEXT"
    members["prompt_tuning_init"] = kind
    members["prompt_tuning_init_text"] = text.map(JSONValue.string) ?? .null
    members["tokenizer_name_or_path"] =
      isText ? .string(tokenizer ?? baseName) : tokenizer.map(JSONValue.string) ?? .null
    members["tokenizer_kwargs"] = tokenizerOptions
    return .object(members)
  }
}
