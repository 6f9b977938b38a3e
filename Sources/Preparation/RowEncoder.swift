import JSON
import Tokenizers

/// Turns rows into tokens and masks; any number of threads may use one.
struct RowEncoder: Sendable {
  let text: ModelText
  let options: PreparationOptions
  private let ranges: TokenRanges
  private let finder: AssistantSpanFinder?
  /// Special tokens that the tokenizer puts around a text.
  private let before: [UInt32]
  private let after: [UInt32]

  /// A row that became tokens.
  struct Encoded: Sendable {
    var tokens: [UInt32]
    var mask: [UInt8]
    var form: RowForm
    /// Answers that do not end with a stop token.
    var unclosedCount = 0
    var answerCount = 0
    /// Whether the text brings the begin token that is put before it.
    var beginsTwice = false
    /// Which of the columns that were named the row has.
    var foundColumns: [Bool] = []
  }

  init(_ text: ModelText, _ options: PreparationOptions) throws {
    self.text = text
    self.options = options
    ranges = TokenRanges(text.tokenizer)
    finder = AssistantSpanFinder(text)
    let bare = try text.tokenizer.encode("a")
    let whole = try text.tokenizer.encode("a", addSpecialTokens: true)
    var lead = 0
    while lead + bare.count < whole.count, !whole[lead...].starts(with: bare) { lead += 1 }
    before = Array(whole[..<lead])
    after = Array(whole[min(lead + bare.count, whole.count)...])
  }

  func encode(_ row: InputRow) throws(RowProblem) -> Encoded {
    let form: RowForm
    let content: RowContent
    var foundColumns: [Bool] = []
    switch row.content {
    case .tokens(let example):
      form = .imported
      content = .tokens(example.tokens, counts: example.counts)
    case .text(let bytes):
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw .notUTF8
      }
      form = .plainText
      content = .text(text, counts: 0..<text.utf8.count)
    case .json, .fields, .broken:
      let named: JSONNode
      (named, form, foundColumns) = try options.columns.applied(to: Self.node(row.content))
      content = try RowContent(named, form: form, prefersChat: finder != nil)
    }
    var encoded = try encode(content, form)
    guard !encoded.tokens.isEmpty else { throw .empty }
    encoded.foundColumns = foundColumns
    if let outside = encoded.tokens.first(where: { $0 >= text.vocabularySize }) {
      throw .tokenOutsideVocabulary(id: Int(outside), vocabulary: text.vocabularySize)
    }
    // The first token is never a target, whatever its mask: so that shares are true.
    encoded.mask[0] = 0
    return encoded
  }

  /// A row of JSON or of a table as an object.
  static func node(_ content: InputRow.Content) throws(RowProblem) -> JSONNode {
    switch content {
    case .json(let bytes):
      do throws(JSONError) { return try JSONNode(parsing: bytes) } catch {
        throw .notJSON(
          "column \(error.column), "
            + (error.description.split(separator: ": ", maxSplits: 1).last.map(String.init) ?? ""))
      }
    case .fields(let names, let values):
      var members: [(key: String, value: JSONNode)] = []
      for (name, value) in zip(names, values) where !name.isEmpty {
        guard let text = String(validating: value, as: UTF8.self) else { throw .notUTF8 }
        members.append((name, .string(text)))
      }
      return .object(JSONObject(members))
    case .broken(let problem): throw problem
    case .text, .tokens: return .null
    }
  }

  private func encode(_ content: RowContent, _ form: RowForm) throws(RowProblem) -> Encoded {
    switch content {
    case .tokens(let tokens, let counts):
      return Encoded(
        tokens: tokens, mask: counts.map { $0 || options.trainsOnPrompt ? 1 : 0 }, form: form)
    case .text(let text, let counted):
      guard !text.isEmpty else { throw .empty }
      var (tokens, mask) = try tokens(text, [counted])
      let beginsTwice = !before.isEmpty && tokens.starts(with: before)
      tokens = before + tokens + after
      mask =
        [UInt8](repeating: 0, count: before.count) + mask
        + [UInt8](repeating: 1, count: after.count)
      var encoded = Encoded(tokens: tokens, mask: mask, form: form)
      encoded.beginsTwice = beginsTwice
      if options.appendsEndOfText ?? true { try close(&encoded) }
      return encoded
    case .conversation(let messages, let tools, let documents, let first):
      guard let finder else { throw .noTemplate }
      let found = try finder.spans(messages, tools: tools, documents: documents, from: first)
      let (tokens, mask) = try tokens(found.text, found.ranges)
      var encoded = Encoded(
        tokens: tokens, mask: mask, form: form, unclosedCount: found.unclosedCount,
        answerCount: found.ranges.count)
      if options.appendsEndOfText ?? false { try close(&encoded) }
      return encoded
    }
  }

  private func tokens(
    _ text: String, _ counted: [Range<Int>]
  ) throws(RowProblem) -> ([UInt32], [UInt8]) {
    do throws(TokenizerError) {
      let tokens = try self.text.tokenizer.encode(text)
      if options.trainsOnPrompt { return (tokens, [UInt8](repeating: 1, count: tokens.count)) }
      let mask = try ranges.mask(of: tokens, text: text, ranges: counted)
      return (tokens, mask.map { $0 ? 1 : 0 })
    } catch { throw .tokenizer(error.description) }
  }

  /// Puts the end-of-text token behind, where it is not there; it counts either way.
  private func close(_ encoded: inout Encoded) throws(RowProblem) {
    guard let end = text.endOfText else { throw .noEndOfText }
    if encoded.tokens.last == end {
      encoded.mask[encoded.mask.count - 1] = 1
    } else {
      encoded.tokens.append(end)
      encoded.mask.append(1)
    }
  }
}
