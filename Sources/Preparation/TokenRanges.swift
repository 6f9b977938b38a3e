import Tokenizers

/// Which tokens of a text lie in given stretches of it.
///
/// The tokens are those of the whole text, as the model will read it; they are never made piece by
/// piece. A token that lies across the edge of a stretch belongs to it, as it does in transformers'
/// `return_assistant_tokens_mask`. For a byte-level vocabulary the lengths of the tokens say where
/// each lies; where they do not add up to the text (a normaliser changed it), and for other
/// vocabularies, the tokens of the text up to the edge are compared with those of the whole.
struct TokenRanges: Sendable {
  private let tokenizer: Tokenizer
  /// Bytes of each token; empty where the vocabulary is not byte-level.
  private let lengths: [Int32]

  init(_ tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    // A byte-level vocabulary writes a blank so; one with byte fallback has tokens for single bytes.
    guard tokenizer.id(of: "\u{120}") != nil, tokenizer.id(of: "<0x0A>") == nil else {
      lengths = []
      return
    }
    var lengths = [Int32](repeating: 0, count: tokenizer.idLimit)
    for id in lengths.indices {
      // A byte-level token is spelled with one character a byte.
      lengths[id] = Int32(tokenizer.token(of: UInt32(id))?.unicodeScalars.count ?? 0)
    }
    for token in tokenizer.addedTokens { lengths[Int(token.id)] = Int32(token.content.utf8.count) }
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
    if !lengths.isEmpty,
      tokens.reduce(0, { $0 + Int(lengths[Int($1)]) }) == byteCount
    {
      var position = 0
      for (index, token) in tokens.enumerated() {
        let end = position + Int(lengths[Int(token)])
        mask[index] = filled.contains { $0.lowerBound < end && position < $0.upperBound }
        position = end
      }
      return mask
    }
    let bytes = Array(text.utf8)
    for range in filled {
      let start = try edge(range.lowerBound, bytes, tokens)
      let end = try edge(range.upperBound, bytes, tokens)
      let last = min(end.isExact ? end.index : end.index + 1, tokens.count)
      for index in start.index..<max(last, start.index) { mask[index] = true }
    }
    return mask
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
