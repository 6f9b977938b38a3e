import Diagnostics
import Foundation
import GGUF
import Generation
import Model
import Preparation
import Tokenizers

/// A prompt in tokens, and how its answer is read.
struct Prompt {
  /// What the model is given.
  let tokens: [Int]
  /// What ends its answer.
  let endTokens: Set<Int>
  /// Ids back to text; nil where the model has no tokenizer.
  let tokenizer: Tokenizer?

  /// A text as it is, with the special tokens that the tokenizer puts around texts.
  init(text: String, decoder: Decoder, tokenizer path: String? = nil) throws {
    let tokenizer =
      try path.map { try Tokenizer(anywhere: $0) } ?? Tokenizer(model: decoder.directory)
    try self.init(
      try tokenizer.encode(text, addSpecialTokens: true).map { Int($0) },
      endTokens: try EndTokens.of(decoder), tokenizer, decoder)
  }

  /// A user's message in the model's chat template, which writes the special tokens itself.
  ///
  /// The tokenizer's own end-of-text token ends the answer too: in chat models it ends a turn.
  ///
  /// - Parameters:
  ///   - path: a tokenizer in place of the model's.
  ///   - chatTemplate: a template in place of the model's.
  ///   - endOfText: the name of that token, in place of the configured one.
  init(
    message: String, decoder: Decoder, tokenizer path: String? = nil,
    chatTemplate: ChatTemplateChoice = .model, endOfText: String? = nil
  ) throws {
    let text =
      if let path {
        try ModelText(
          tokenizer: path, model: decoder.directory, chatTemplate: chatTemplate,
          endOfText: endOfText)
      } else {
        try ModelText(
          directory: decoder.directory, chatTemplate: chatTemplate, endOfText: endOfText)
      }
    guard let prompt = try text.prompt([.init(role: "user", content: message)]) else {
      throw PromptError.noChatTemplate(directory: path ?? decoder.directory)
    }
    var ends = try EndTokens.of(decoder)
    if let end = text.endOfText { ends.insert(Int(end)) }
    try self.init(
      try text.tokenizer.encode(prompt).map { Int($0) }, endTokens: ends, text.tokenizer, decoder)
  }

  /// Token ids with commas between them.
  ///
  /// A model without a tokenizer continues those too.
  init(list: String, decoder: Decoder, tokenizer path: String? = nil) throws {
    var ids: [Int] = []
    let isEmpty = list.allSatisfy(\.isWhitespace)
    for part in isEmpty ? [] : list.split(separator: ",", omittingEmptySubsequences: false) {
      guard let id = Int(part.trimmingCharacters(in: .whitespaces)) else {
        throw PromptError.notANumber(String(part))
      }
      ids.append(id)
    }
    let tokenizer =
      try path.map { try Tokenizer(anywhere: $0) } ?? Self.tokenizer(decoder.directory)
    try self.init(ids, endTokens: try EndTokens.of(decoder), tokenizer, decoder)
  }

  private static func tokenizer(_ directory: String) throws -> Tokenizer? {
    do { return try Tokenizer(model: directory) } catch let error as TokenizerError {
      if case .noTokenizer = error { return nil }
      throw error
    }
  }

  private init(
    _ tokens: [Int], endTokens: Set<Int>, _ tokenizer: Tokenizer?, _ decoder: Decoder
  ) throws {
    if tokens.isEmpty { throw PromptError.empty }
    let size = decoder.configuration.vocabularySize
    if let id = tokens.first(where: { $0 < 0 || $0 >= size }) {
      throw PromptError.unknownToken(id, vocabularySize: size)
    }
    self.tokens = tokens
    self.endTokens = endTokens
    self.tokenizer = tokenizer
  }

  /// Most tokens of prompt and answer together, as many as the model has positions for.
  ///
  /// - Throws: `tooLong` where no room is left for an answer.
  func length(maximumNewTokens: Int, decoder: Decoder) throws(PromptError) -> Int {
    let taken = decoder.virtualTokenCount + decoder.positionOffset
    let room = decoder.configuration.maximumPositions - taken
    if tokens.count >= room { throw .tooLong(tokens: tokens.count, virtual: taken, room: room) }
    return tokens.count + min(maximumNewTokens, room - tokens.count)
  }
}

/// What can be wrong with a prompt.
enum PromptError: ClassifiedError {
  case notANumber(String)
  case empty
  case unknownToken(Int, vocabularySize: Int)
  case noChatTemplate(directory: String)
  case tooLong(tokens: Int, virtual: Int, room: Int)

  var errorClass: ErrorClass {
    if case .noChatTemplate = self { .input } else { .usage }
  }

  var description: String {
    switch self {
    case .notANumber(let text):
      "--prompt-tokens has '\(text)', which is no token id. Give numbers with commas between them."
    case .empty: "The prompt has no token. Give at least one."
    case .unknownToken(let id, let size):
      "The prompt has token \(id); the model knows 0 to \(size - 1). Check that tokenizer and "
        + "model belong together."
    case .noChatTemplate(let directory):
      "\(directory) has no chat template (chat_template.jinja, or chat_template in "
        + "tokenizer_config.json). Leave --chat out, or give the template of the model's chat version "
        + "with --chat-template FILE."
    case .tooLong(let tokens, let virtual, let room):
      "The prompt has \(tokens) tokens; the model has positions for \(room) of prompt and answer"
        + (virtual > 0 ? ", the adapter's \(virtual) virtual ones taken off" : "")
        + ". Shorten the prompt."
    }
  }
}
