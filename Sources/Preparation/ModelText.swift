import Files
import Foundation
import GGUF
import JSON
import Templates
import Tokenizers

/// Where a chat template comes from.
public enum ChatTemplateChoice: Sendable, Hashable {
  /// The model's own, if it has one.
  case model
  /// None, even where the model has one.
  case none
  /// A file of Jinja.
  case file(String)
}

/// How a model reads text: its tokenizer, chat template and end tokens.
///
/// ```swift
/// let text = try ModelText(directory: "SmolLM2-135M-Instruct")
/// let prompt = try text.prompt([.init(role: "user", content: "Hello")])
/// ```
///
/// It reads what transformers reads of a model's directory: `tokenizer.json`,
/// `tokenizer_config.json`, `special_tokens_map.json`, `chat_template.jinja`,
/// `generation_config.json` and `config.json`; all but the first may be missing. Additional named
/// templates are not read. A GGUF file says the same in its metadata.
public struct ModelText: Sendable {
  /// Text to ids and back.
  public let tokenizer: Tokenizer
  /// The chat template, if there is one.
  package let template: Template?
  /// The end-of-text token, if one is known.
  public let endOfText: UInt32?
  /// Tokens that end an answer: the end-of-text token, and those of the generation's configuration.
  public let stopTokens: Set<UInt32>
  /// Ids lie below this: the model's rows where its configuration is there, else the tokenizer's.
  public let vocabularySize: Int
  /// The longest example that the model takes, if its configuration says.
  public let maximumPositions: Int?
  /// What templates see besides the conversation: `bos_token` and its like.
  let specialTokens: [(name: String, value: JSONNode)]

  /// Reads a model's directory, or a GGUF file.
  ///
  /// - Parameters:
  ///   - directory: the model's directory, or a GGUF file.
  ///   - chatTemplate: the one that conversations are written with.
  ///   - name: the end-of-text token by name, instead of the one that is configured.
  /// - Throws: `TokenizerError`, `GGUFError`, `TemplateError`, `PreparationError`.
  public init(
    directory: String, chatTemplate: ChatTemplateChoice = .model, endOfText name: String? = nil
  ) throws {
    try self.init(
      tokenizer: try Tokenizer(model: directory), files: try ModelDocuments(directory),
      chatTemplate: chatTemplate, endOfText: name)
  }

  /// Reads a tokenizer in place of the model's: a `tokenizer.json`, a directory or a GGUF file,
  /// with what belongs to it, and the model's positions and rows.
  ///
  /// - Parameters:
  ///   - path: where the tokenizer is.
  ///   - model: the model's directory or file; nil where there is none.
  ///   - chatTemplate: the one that conversations are written with.
  ///   - name: the end-of-text token by name, instead of the one that is configured.
  public init(
    tokenizer path: String, model: String?, chatTemplate: ChatTemplateChoice = .model,
    endOfText name: String? = nil
  ) throws {
    if FileKind.at(path) == .directory || GGUFFile.isOne(path) {
      var files = try ModelDocuments(path)
      if let model { files.use(configurationOf: try ModelDocuments(model)) }
      try self.init(
        tokenizer: try Tokenizer(model: path), files: files, chatTemplate: chatTemplate,
        endOfText: name)
    } else {
      let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
      var files = try ModelDocuments(directory)
      if let model { files.use(configurationOf: try ModelDocuments(model)) }
      try self.init(
        tokenizer: try Tokenizer(contentsOf: path, configuredBy: directory), files: files,
        chatTemplate: chatTemplate, endOfText: name)
    }
  }

  private init(
    tokenizer: Tokenizer, files: ModelDocuments, chatTemplate: ChatTemplateChoice,
    endOfText name: String?
  ) throws {
    self.tokenizer = tokenizer
    let (settings, map) = (files.settings, files.specialTokens)
    let (model, generation) = (files.configuration, files.generation)

    var tokens: [(name: String, value: JSONNode)] = []
    for key in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map({ $0 + "_token" }) {
      // A token is a string, or an object that describes it.
      // As in transformers, the map stands above the settings unless these number the tokens.
      let isNumbered = settings?["added_tokens_decoder"] != nil
      let node = isNumbered ? settings?[key] ?? map?[key] : map?[key] ?? settings?[key]
      if let text = node?.string ?? node?["content"]?.string { tokens.append((key, .string(text))) }
    }
    specialTokens = tokens

    var stops = Set<UInt32>()
    for node in [generation, model] {
      let value = node?["eos_token_id"]
      let ids = value?.array?.compactMap(\.integer) ?? value?.integer.map { [$0] } ?? []
      stops.formUnion(ids.compactMap { UInt32(exactly: $0) })
      if node != nil, !ids.isEmpty { break }
    }
    let configured = tokens.first { $0.name == "eos_token" }?.value.string
    var end = configured.flatMap { tokenizer.id(of: $0) }
    if let name {
      end = tokenizer.id(of: name)
      if end == nil { throw PreparationError.unknownToken(name, tokenizer: tokenizer.path) }
    } else if let configured, end == nil || tokenizer.namedOnly.contains(configured) {
      let other = stops.min().map { "\($0) ('\(tokenizer.token(of: $0) ?? "?")')" }
      throw PreparationError.missingEndOfText(
        configured, directory: files.path, tokenizer: tokenizer.path, configured: other)
    } else if end == nil, let only = stops.min(), stops.count == 1 {
      end = only
    }
    endOfText = end
    if let end { stops.insert(end) }
    stopTokens = stops
    vocabularySize = model?["vocab_size"]?.integer ?? tokenizer.idLimit
    maximumPositions =
      model?["max_position_embeddings"]?.integer ?? model?["n_positions"]?.integer

    switch chatTemplate {
    case .none: template = nil
    case .file(let path): template = try Template(try ModelDocuments.text(path), name: path)
    case .model: template = try files.template()
    }
  }

  /// A message of a conversation.
  public struct Message: Sendable {
    /// `system`, `user`, `assistant`.
    public let role: String
    /// What is said.
    public let content: String

    /// A message.
    public init(role: String, content: String) {
      self.role = role
      self.content = content
    }
  }

  /// The text that asks for an answer to a conversation; nil where the model has no template.
  ///
  /// Its ids are the tokenizer's without special tokens: the template writes those.
  ///
  /// - Throws: what the template refuses.
  public func prompt(_ messages: [Message]) throws(TemplateError) -> String? {
    guard let template else { return nil }
    let nodes = messages.map { message in
      JSONNode.object(
        JSONObject([("role", .string(message.role)), ("content", .string(message.content))]))
    }
    return try template.render(variables(nodes, addsGenerationPrompt: true)).text
  }

  /// What a template is given.
  func variables(
    _ messages: [JSONNode], tools: JSONNode = .null, documents: JSONNode = .null,
    addsGenerationPrompt: Bool = false
  ) -> [(name: String, value: JSONNode)] {
    specialTokens + [
      ("messages", .array(messages)), ("tools", tools), ("documents", documents),
      ("add_generation_prompt", .bool(addsGenerationPrompt)),
    ]
  }
}
