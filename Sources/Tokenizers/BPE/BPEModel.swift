import Patterns

/// The vocabulary and merges of a byte-pair model, ready for look-ups.
struct BPEModel: Sendable {
  /// How a file's fields ask for the symbols of a word.
  struct Options: Sendable {
    var unknownToken: String?
    var continuingPrefix = ""
    var endOfWordSuffix = ""
    var fusesUnknown = false
    var fallsBackToBytes = false
    var ignoresMerges = false
  }

  let path: String
  let options: Options
  /// Token number by token, in the characters of the file.
  let vocabulary: ByteStringTable
  /// Tokens by number; `nil` where the vocabulary has a hole.
  let tokens: [[UInt8]?]
  /// How many tokens the vocabulary has.
  let count: Int
  private let merges: MergeTable
  /// Numbers of `<0x00>` to `<0xFF>`, where all a character's bytes have one.
  private let byteTokens: [UInt32?]
  private let unknown: UInt32?
  /// For words given as raw bytes: the symbol of each byte, and whole words by their bytes.
  private let symbolOfByte: [UInt32?]
  private let rawVocabulary: ByteStringTable
  /// Whether tokens before and after the place in front of a mark have nothing to do with each other.
  private let cutsAtMarks: Bool

  /// Builds the tables.
  ///
  /// - Throws: `mergeOutsideVocabulary`.
  init(
    path: String, vocabulary entries: [(token: [UInt8], id: UInt32)],
    merges pairs: [(left: [UInt8], right: [UInt8])], options: Options
  ) throws(TokenizerError) {
    self.path = path
    self.options = options
    var vocabulary = ByteStringTable(capacity: entries.count)
    var tokens: [[UInt8]?] = []
    for (token, id) in entries {
      vocabulary.set(token, to: id)
      while tokens.count <= Int(id) { tokens.append(nil) }
      tokens[Int(id)] = token
    }
    var merges = MergeTable(capacity: pairs.count)
    // The mark must be a token, lest an unknown one reach over the place.
    var cutsAtMarks =
      vocabulary.value(Self.mark) != nil && !options.ignoresMerges
      && options.continuingPrefix.isEmpty && options.endOfWordSuffix.isEmpty
    let prefixLength = options.continuingPrefix.utf8.count
    for (rank, pair) in pairs.enumerated() {
      let joined = pair.left + pair.right.dropFirst(prefixLength)
      var ids: [UInt32] = []
      for token in [pair.left, pair.right, joined] {
        guard let id = vocabulary.value(token) else {
          throw .mergeOutsideVocabulary(
            path: path, merge: rank + 1, token: String(decoding: token, as: UTF8.self))
        }
        ids.append(id)
      }
      if cutsAtMarks, joined.indices.contains(where: { Self.beginsAtMark(joined, $0, from: 0) }) {
        cutsAtMarks = false
      }
      merges.set(ids[0], ids[1], rank: UInt32(rank), token: ids[2])
    }
    var raw = ByteStringTable(capacity: options.ignoresMerges ? entries.count : 0)
    if options.ignoresMerges {
      for (token, id) in entries {
        if let bytes = ByteAlphabet.decode(token) { raw.set(bytes, to: id) }
      }
    }
    let digits = Array("0123456789ABCDEF".utf8)
    byteTokens = (0..<256).map { byte in
      vocabulary.value(
        Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15]] + Array(">".utf8))
    }
    symbolOfByte = (0..<256).map { vocabulary.value(ByteAlphabet.encode([UInt8($0)])) }
    unknown = options.unknownToken.flatMap { vocabulary.value(Array($0.utf8)) }
    count = vocabulary.count
    self.vocabulary = vocabulary
    self.tokens = tokens
    self.merges = merges
    self.cutsAtMarks = cutsAtMarks
    rawVocabulary = raw
  }

  /// Whether words may be given as raw bytes instead of in the byte alphabet: every character is
  /// then one byte, nothing is added to it, and nothing is looked up in another spelling.
  var takesRawBytes: Bool {
    options.continuingPrefix.isEmpty && options.endOfWordSuffix.isEmpty
      && !options.fallsBackToBytes
  }

  /// SentencePiece's visible blank, `▁`.
  private static let mark: [UInt8] = [0xe2, 0x96, 0x81]

  /// Whether `text` has a mark at `position`, and something else than a mark before it.
  private static func beginsAtMark(_ text: [UInt8], _ position: Int, from start: Int) -> Bool {
    guard position > start, position + 3 <= text.count, text[position] == 0xe2,
      text[position + 1] == 0x96, text[position + 2] == 0x81
    else { return false }
    return position < start + 3 || text[position - 3] != 0xe2 || text[position - 2] != 0x96
      || text[position - 1] != 0x81
  }

  /// The end of the piece of `bytes[range]` that begins at `start` and can be encoded by itself.
  ///
  /// Where no merge reaches over the place before a mark, the text's words are encoded one by one,
  /// with the same tokens, even if the file does not cut text into words (as Llama 2's).
  func pieceEnd(_ bytes: [UInt8], from start: Int, in range: Range<Int>) -> Int {
    guard cutsAtMarks else { return range.upperBound }
    var end = start + 1
    while end < range.upperBound, !Self.beginsAtMark(bytes, end, from: start) { end += 1 }
    return end
  }

  /// Appends the tokens of the word `bytes[range]`.
  ///
  /// - Parameter isRaw: the word is raw bytes, and the model's characters stand for bytes.
  /// - Throws: `unknownTokenMissing`.
  func encode(
    _ bytes: [UInt8], _ range: Range<Int>, isRaw: Bool, _ merger: inout WordMerger,
    into ids: inout [UInt32]
  ) throws(TokenizerError) {
    if options.ignoresMerges,
      let id = isRaw ? rawVocabulary.value(bytes, range) : vocabulary.value(bytes, range)
    {
      ids.append(id)
      return
    }
    merger.symbols.removeAll(keepingCapacity: true)
    if isRaw {
      try addRawSymbols(bytes, range, &merger.symbols)
    } else {
      try addSymbols(bytes, range, &merger.symbols)
    }
    merger.merge(merges)
    ids.append(contentsOf: merger.symbols)
  }

  private func addRawSymbols(
    _ bytes: [UInt8], _ range: Range<Int>, _ symbols: inout [UInt32]
  ) throws(TokenizerError) {
    var hasUnknown = false
    for index in range {
      if let symbol = symbolOfByte[Int(bytes[index])] {
        symbols.append(symbol)
        hasUnknown = false
      } else {
        try addUnknown(&symbols, after: hasUnknown)
        hasUnknown = true
      }
    }
  }

  private func addSymbols(
    _ bytes: [UInt8], _ range: Range<Int>, _ symbols: inout [UInt32]
  ) throws(TokenizerError) {
    /// Whether an unknown token waits for its successor. Characters that fall back to bytes do not
    /// end the wait: the reference writes the unknown token after them, and so does this.
    var waiting = false
    let hasAffixes = !options.continuingPrefix.isEmpty || !options.endOfWordSuffix.isEmpty
    var position = range.lowerBound
    while position < range.upperBound {
      let start = position
      _ = UTF8Text.next(bytes, &position)
      let symbol: UInt32?
      if hasAffixes {
        let text = affixed(bytes, start..<position, range)
        symbol = vocabulary.value(text)
        if symbol == nil, addBytes(text, 0..<text.count, &symbols) { continue }
      } else {
        symbol = vocabulary.value(bytes, start..<position)
        if symbol == nil, addBytes(bytes, start..<position, &symbols) { continue }
      }
      if let symbol {
        if waiting, let unknown { symbols.append(unknown) }
        waiting = false
        symbols.append(symbol)
      } else if let name = options.unknownToken {
        guard let unknown else { throw .unknownTokenMissing(path: path, token: name) }
        if waiting, !options.fusesUnknown { symbols.append(unknown) }
        waiting = true
      }
    }
    if waiting, let unknown { symbols.append(unknown) }
  }

  private func addUnknown(
    _ symbols: inout [UInt32], after isAfterUnknown: Bool
  ) throws(TokenizerError) {
    // Without an unknown token, what has no token is left out.
    guard let name = options.unknownToken else { return }
    guard let unknown else { throw .unknownTokenMissing(path: path, token: name) }
    if !(isAfterUnknown && options.fusesUnknown) { symbols.append(unknown) }
  }

  private func affixed(_ bytes: [UInt8], _ part: Range<Int>, _ word: Range<Int>) -> [UInt8] {
    var text = Array(bytes[part])
    if part.lowerBound > word.lowerBound { text = Array(options.continuingPrefix.utf8) + text }
    if part.upperBound == word.upperBound { text += Array(options.endOfWordSuffix.utf8) }
    return text
  }

  /// Appends the byte tokens of a character, if every byte has one.
  private func addBytes(
    _ bytes: [UInt8], _ range: Range<Int>, _ symbols: inout [UInt32]
  ) -> Bool {
    guard options.fallsBackToBytes, range.allSatisfy({ byteTokens[Int(bytes[$0])] != nil }) else {
      return false
    }
    for index in range { symbols.append(byteTokens[Int(bytes[index])] ?? 0) }
    return true
  }
}
