import Tokenizers

/// Which tokens of a text lie in given stretches of it.
///
/// The tokens are those of the whole text, as the model will read it; they are never made piece by
/// piece. A token that lies across the edge of a stretch belongs to it, as it does in transformers'
/// `return_assistant_tokens_mask`. Where a byte-level vocabulary gives the text back, the lengths of the
/// tokens say where each lies. Elsewhere (a normaliser changed the text, or blanks are spelled in
/// another way) edges are found in how the tokens are spelled: there the text up to an edge begins
/// the whole. Where it does not, the tokens of the text up to the edge are compared with those of the
/// whole.
struct TokenRanges: Sendable {
  private let tokenizer: Tokenizer
  /// How each token is spelled, in UTF-8.
  private let spellings: [[UInt8]]
  /// Bytes of text for each token; empty where the vocabulary is not byte-level.
  private let lengths: [Int]

  init(_ tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    let added = Dictionary(
      tokenizer.addedTokens.map { ($0.id, $0.content) }, uniquingKeysWith: { first, _ in first })
    var spellings: [[UInt8]] = []
    var lengths: [Int] = []
    // A byte-level vocabulary writes a blank so; one with byte fallback has tokens for single bytes.
    let isByteLevel = tokenizer.id(of: "\u{120}") != nil && tokenizer.id(of: "<0x0A>") == nil
    for id in 0..<UInt32(tokenizer.idLimit) {
      let token = added[id] ?? tokenizer.token(of: id) ?? ""
      spellings.append(Array(token.utf8))
      guard isByteLevel else { continue }
      // A byte-level token is spelled with one character a byte.
      lengths.append(added[id] != nil ? token.utf8.count : token.unicodeScalars.count)
    }
    self.spellings = spellings
    self.lengths = lengths
  }

  /// Marks the tokens of `text` that lie in `ranges` (UTF-8 bytes, in order).
  func mask(
    of tokens: [UInt32], text: String, ranges: [Range<Int>]
  ) throws(TokenizerError) -> [Bool] {
    var mask = [Bool](repeating: false, count: tokens.count)
    let byteCount = text.utf8.count
    let filled = ranges.filter { !$0.isEmpty }
    if filled.isEmpty { return mask }
    if filled == [0..<byteCount] { return [Bool](repeating: true, count: tokens.count) }
    if !lengths.isEmpty {
      let sizes = tokens.map { lengths[Int($0)] }
      if sizes.reduce(0, +) == byteCount,
        tokenizer.decode(tokens).utf8.elementsEqual(text.utf8)
      {
        mark(&mask, sizes, filled)
        return mask
      }
    }
    let bytes = Array(text.utf8)
    if let spelled = try spelledRanges(filled, bytes, tokens) {
      mark(&mask, tokens.map { spellings[Int($0)].count }, spelled)
      return mask
    }
    for range in filled {
      let start = try edge(range.lowerBound, bytes, tokens)
      let end = try edge(range.upperBound, bytes, tokens)
      let last = min(end.isExact ? end.index : end.index + 1, tokens.count)
      for index in start.index..<max(last, start.index) { mask[index] = true }
    }
    return mask
  }

  /// Marks tokens of `sizes` bytes that lie, if only in part, in `ranges`.
  private func mark(_ mask: inout [Bool], _ sizes: [Int], _ ranges: [Range<Int>]) {
    var position = 0
    for (index, size) in sizes.enumerated() {
      let end = position + size
      mask[index] = ranges.contains { $0.lowerBound < end && position < $0.upperBound }
      position = end
    }
  }

  /// The ranges in how all tokens together are spelled; nil where the text up to an edge is spelled
  /// otherwise alone.
  private func spelledRanges(
    _ ranges: [Range<Int>], _ bytes: [UInt8], _ tokens: [UInt32]
  ) throws(TokenizerError) -> [Range<Int>]? {
    let whole = Array(tokens.lazy.map { spellings[Int($0)] }.joined())
    var spelled: [Range<Int>] = []
    for range in ranges {
      var edges: [Int] = []
      for edge in [range.lowerBound, range.upperBound] {
        if edge == bytes.count {
          edges.append(whole.count)
          continue
        }
        let prefix = try tokenizer.encode(String(decoding: bytes[..<edge], as: UTF8.self))
        let spelling = Array(prefix.lazy.map { spellings[Int($0)] }.joined())
        guard whole.starts(with: spelling) else { return nil }
        edges.append(spelling.count)
      }
      guard edges[0] <= edges[1] else { return nil }
      spelled.append(edges[0]..<edges[1])
    }
    return spelled
  }

  /// The token at a byte, and whether one begins there.
  private func edge(
    _ byte: Int, _ bytes: [UInt8], _ tokens: [UInt32]
  ) throws(TokenizerError) -> (index: Int, isExact: Bool) {
    if byte == bytes.count { return (tokens.count, true) }
    let prefix = try tokenizer.encode(String(decoding: bytes[..<byte], as: UTF8.self))
    let common = zip(prefix, tokens).prefix { $0 == $1 }.count
    return (common, common == prefix.count)
  }
}
