import Hashing
import Patterns
import Synchronization

/// A Hugging Face tokenizer: text to token ids and back.
///
/// ```swift
/// let tokenizer = try Tokenizer(directory: "SmolLM2-135M")
/// let ids = try tokenizer.encode("Hello world", addSpecialTokens: false)
/// let text = tokenizer.decode(ids, skipSpecialTokens: true)
/// ```
///
/// It reads `tokenizer.json` as it is and gives the ids that the `tokenizers` library gives, on every
/// string: what a file uses and this reader does not know is refused by name. Byte-pair models only
/// (byte-level, and SentencePiece's with byte fallback); WordPiece and Unigram are refused. It keeps
/// no offsets into the text, ignores the file's truncation and padding as transformers does, and
/// encodes single texts, not pairs. Any number of threads may use one tokenizer at once.
public final class Tokenizer: Sendable {
  /// The file it was read from (`vocab.json`, where there is no `tokenizer.json`).
  public let path: String
  /// SHA-256 of that file, in hexadecimal; where the files beside it add something, of both.
  public let sha256: String
  /// Tokens of the vocabulary and added ones together, each counted once.
  public let vocabularySize: Int
  /// One more than the greatest token id.
  public let idLimit: Int
  /// The added tokens, by id.
  public let addedTokens: [AddedToken]
  /// Special tokens that a configuration names and that neither the vocabulary nor a list of added
  /// tokens has: their ids are new, as in transformers, and no model has rows for them.
  public let namedOnly: Set<String>

  private let model: BPEModel
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer?
  private let postProcessor: PostProcessor?
  private let decoder: TokenDecoder?
  private let plainFinder: AddedTokenFinder
  private let normalizedFinder: AddedTokenFinder
  /// Added tokens' texts as decoding writes them, by id.
  private let addedContent: [UInt32: [UInt8]]
  private let addedID: ByteStringTable
  private let specialContent: ByteStringTable
  /// Whether words go to the model as raw bytes, the last pre-tokenizer being ByteLevel.
  private let usesRawBytes: Bool
  /// Whether decoding makes text of runs of byte tokens.
  private let joinsBytes: Bool
  private let pool = Mutex<[EncodingScratch]>([])

  init(_ parts: TokenizerParts) throws(TokenizerError) {
    path = parts.path
    sha256 = parts.sha256
    namedOnly = parts.namedOnly
    model = parts.model
    normalizer = parts.normalizer
    preTokenizer = parts.preTokenizer
    postProcessor = parts.postProcessor
    decoder = parts.decoder
    joinsBytes = parts.decoder?.joinsBytes == true
    usesRawBytes = parts.model.takesRawBytes && parts.preTokenizer?.endsWithByteLevel == true

    var byID: [UInt32: AddedToken] = [:]
    var ids = ByteStringTable()
    var special = ByteStringTable()
    for token in parts.addedTokens {
      byID[token.id] = token
      ids.set(Array(token.content.utf8), to: token.id)
      if token.isSpecial { special.set(Array(token.content.utf8), to: token.id) }
    }
    addedTokens = byID.values.sorted { $0.id < $1.id }
    var content: [UInt32: [UInt8]] = [:]
    for token in addedTokens {
      let text = Array(token.content.utf8)
      // The reference decodes a normalised token as its normalised text.
      do throws(RegexError) {
        content[token.id] = token.isNormalized ? try parts.normalizer?(text) ?? text : text
      } catch {
        throw .limit(path: parts.path, field: "normalizer", problem: error.problem)
      }
    }
    addedContent = content
    addedID = ids
    specialContent = special
    let patterns = addedTokens.map { (pattern: content[$0.id] ?? [], token: $0) }
    plainFinder = AddedTokenFinder(patterns.filter { !$0.token.isNormalized })
    normalizedFinder = AddedTokenFinder(patterns.filter { $0.token.isNormalized })
    idLimit = max(parts.model.tokens.count, addedTokens.last.map { Int($0.id) + 1 } ?? 0)
    vocabularySize =
      parts.model.count
      + addedTokens.count { parts.model.vocabulary.value(Array($0.content.utf8)) == nil }
  }

  /// The ids of a text.
  ///
  /// Special tokens that are written in the text are always recognised.
  ///
  /// - Parameter text: any text.
  /// - Parameter addSpecialTokens: whether the model's begin and end tokens are put around it.
  /// - Throws: `unknownTokenMissing` where a character has no token and the file names an unknown
  ///   token that it does not have.
  public func encode(
    _ text: String, addSpecialTokens: Bool = false
  ) throws(TokenizerError) -> [UInt32] {
    let scratch = pool.withLock { $0.popLast() } ?? EncodingScratch()
    defer { pool.withLock { $0.append(scratch) } }
    var ids: [UInt32] = []
    let bytes = Array(text.utf8)
    try plainFinder.forEachPart(bytes) { (range, token) throws(TokenizerError) in
      if let token {
        ids.append(token.id)
      } else {
        let part = range.count == bytes.count ? bytes : Array(bytes[range])
        try encode(part, beginsAtStart: range.lowerBound == 0, scratch, &ids)
      }
    }
    return postProcessor?.apply(ids, addsSpecialTokens: addSpecialTokens) ?? ids
  }

  /// Normalises a part without plain added tokens, finds the normalised ones, cuts the rest.
  private func encode(
    _ bytes: [UInt8], beginsAtStart: Bool, _ scratch: EncodingScratch, _ ids: inout [UInt32]
  ) throws(TokenizerError) {
    var text = Normalizer.Text(bytes: bytes, beginsAtStart: beginsAtStart)
    do throws(RegexError) { try normalizer?.apply(&text) } catch {
      throw .limit(path: path, field: "normalizer", problem: error.problem)
    }
    let normalized = text
    try normalizedFinder.forEachPart(normalized.bytes) { (range, token) throws(TokenizerError) in
      if let token {
        ids.append(token.id)
      } else {
        let isWhole = range.count == normalized.bytes.count
        try encodeWords(
          Normalizer.Text(
            bytes: isWhole ? normalized.bytes : Array(normalized.bytes[range]),
            beginsAtStart: normalized.beginsAtStart && range.lowerBound == 0),
          scratch, &ids)
      }
    }
  }

  private func encodeWords(
    _ text: Normalizer.Text, _ scratch: EncodingScratch, _ ids: inout [UInt32]
  ) throws(TokenizerError) {
    var cut = CutText(text)
    do throws(RegexError) {
      if usesRawBytes {
        try preTokenizer?.applyLeavingBytes(&cut)
      } else {
        try preTokenizer?.apply(&cut)
      }
    } catch { throw .limit(path: path, field: "pre_tokenizer", problem: error.problem) }
    ids.reserveCapacity(ids.count + cut.words.count)
    for word in cut.words {
      try scratch.encode(cut.bytes, word, isRaw: usesRawBytes, model, into: &ids)
    }
  }

  /// The text of some ids; ids without a token are left out.
  ///
  /// - Parameter ids: the text in its order.
  /// - Parameter skipSpecialTokens: whether special tokens are left out too.
  public func decode(_ ids: some Sequence<UInt32>, skipSpecialTokens: Bool = false) -> String {
    var tokens: [[UInt8]] = []
    for id in ids {
      guard let token = tokenBytes(id) else { continue }
      if skipSpecialTokens, specialContent.value(token) != nil { continue }
      tokens.append(token)
    }
    let parts: [[UInt8]]
    if let decoder {
      parts = decoder.apply(tokens)
    } else {
      parts = [Array(tokens.joined(separator: [0x20]))]
    }
    return String(decoding: Array(parts.joined()), as: UTF8.self)
  }

  private func tokenBytes(_ id: UInt32) -> [UInt8]? {
    addedContent[id] ?? (Int(id) < model.tokens.count ? model.tokens[Int(id)] : nil)
  }

  /// SHA-256 of all tokens by their ids, in hexadecimal: equal for files that mean the same tokens,
  /// however they are laid out and whatever else they hold.
  public var vocabularySHA256: String {
    var added: [UInt32: [UInt8]] = [:]
    for token in addedTokens { added[token.id] = Array(token.content.utf8) }
    var hash = SHA256()
    for id in 0..<UInt32(idLimit) {
      let token = added[id] ?? (Int(id) < model.tokens.count ? model.tokens[Int(id)] : nil)
      guard let token else { continue }
      // A token may have any byte in it: its length says where it ends.
      hash.update("\(id) \(token.count) ".utf8)
      hash.update(token)
    }
    return hash.hexadecimal()
  }

  /// The token of an id, as the file spells it.
  public func token(of id: UInt32) -> String? {
    if let added = addedTokens.first(where: { $0.id == id }) { return added.content }
    return tokenBytes(id).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The id of a token, as the file spells it.
  public func id(of token: String) -> UInt32? {
    let key = Array(token.utf8)
    return addedID.value(key) ?? model.vocabulary.value(key)
  }

  /// Whether an id is that of a special token.
  public func isSpecial(_ id: UInt32) -> Bool {
    tokenBytes(id).map { specialContent.value($0) != nil } ?? false
  }

  /// Whether decoding writes something for an id.
  func hasText(_ id: UInt32, skipSpecialTokens: Bool) -> Bool {
    guard let token = tokenBytes(id) else { return false }
    return !(skipSpecialTokens && specialContent.value(token) != nil)
  }

  /// Whether an id is a byte token, whose text depends on the byte tokens beside it.
  func standsForByte(_ id: UInt32) -> Bool {
    guard joinsBytes, let token = tokenBytes(id) else { return false }
    return TokenDecoder.byte(token) != nil
  }

  /// A decoder that takes ids one by one, for text that is shown while it is made.
  public func streamingDecoder(skipSpecialTokens: Bool = true) -> StreamingDecoder {
    StreamingDecoder(self, skipSpecialTokens: skipSpecialTokens)
  }
}

extension PreTokenizer {
  /// Whether nothing follows a single ByteLevel at the end.
  var endsWithByteLevel: Bool {
    switch self {
    case .byteLevel: true
    case .sequence(let parts):
      parts.last?.endsWithByteLevel == true && !parts.dropLast().contains(where: \.hasByteLevel)
    default: false
    }
  }

  private var hasByteLevel: Bool {
    switch self {
    case .byteLevel: true
    case .sequence(let parts): parts.contains(where: \.hasByteLevel)
    default: false
    }
  }

  /// Cuts as `apply` does, but leaves the bytes as they are for a model that takes them so.
  func applyLeavingBytes(_ text: inout CutText) throws(RegexError) {
    guard case .sequence(let parts) = self else { return try cutForByteLevel(&text) }
    for part in parts.dropLast() { try part.apply(&text) }
    try parts.last?.applyLeavingBytes(&text)
  }
}
