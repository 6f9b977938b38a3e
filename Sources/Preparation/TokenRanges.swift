import Tokenizers

/// Which tokens of a text lie in given stretches of it.
///
/// The tokens are those of the whole text, as the model will read it; they are never made piece by
/// piece. A token that lies across the edge of a stretch belongs to it, as it does in transformers'
/// `return_assistant_tokens_mask`. The lengths of the tokens say where each lies. Where a normaliser
/// changed the text, edges are found in what the tokens decode to: there the text up to an edge
/// begins the whole. Where even that fails, the tokens of the text up to the edge are compared with
/// those of the whole.
struct TokenRanges: Sendable {
  private let tokenizer: Tokenizer
  /// Bytes of text for each token; empty where the vocabulary is of another style.
  private let lengths: [Int32]

  init(_ tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    var lengths = [Int32](repeating: 0, count: tokenizer.idLimit)
    if tokenizer.id(of: "<0x0A>") != nil {
      // SentencePiece's style: a token for each byte, and one character of three bytes for a blank.
      for id in lengths.indices {
        guard let token = tokenizer.token(of: UInt32(id)) else { continue }
        let blanks = token.unicodeScalars.count { $0 == Self.blank }
        let isByte = token.utf8.count == 6 && token.hasPrefix("<0x")
        lengths[id] = isByte ? 1 : Int32(token.utf8.count - 2 * blanks)
      }
    } else if tokenizer.id(of: "\u{120}") != nil {
      // A byte-level token is spelled with one character a byte; a blank is spelled so.
      for id in lengths.indices {
        lengths[id] = Int32(tokenizer.token(of: UInt32(id))?.unicodeScalars.count ?? 0)
      }
    } else {
      lengths = []
    }
    if !lengths.isEmpty {
      for token in tokenizer.addedTokens {
        lengths[Int(token.id)] = Int32(token.content.utf8.count)
      }
    }
    self.lengths = lengths
  }

  /// How SentencePiece spells a blank.
  private static let blank: Unicode.Scalar = "\u{2581}"

  /// Marks the tokens of `text` that lie in `ranges` (UTF-8 bytes, in order).
  func mask(
    of tokens: [UInt32], text: String, ranges: [Range<Int>]
  ) throws(TokenizerError) -> [Bool] {
    var mask = [Bool](repeating: false, count: tokens.count)
    let byteCount = text.utf8.count
    let filled = ranges.filter { !$0.isEmpty }
    if filled.isEmpty { return mask }
    if filled == [0..<byteCount] { return [Bool](repeating: true, count: tokens.count) }
    if !lengths.isEmpty, let sized = try placed(filled, text, tokens) {
      mark(&mask, sized.sizes, sized.ranges)
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

  /// Marks tokens of `sizes` bytes that lie, if only in part, in `ranges`.
  private func mark(_ mask: inout [Bool], _ sizes: [Int], _ ranges: [Range<Int>]) {
    var position = 0
    for (index, size) in sizes.enumerated() {
      let end = position + size
      mask[index] = ranges.contains { $0.lowerBound < end && position < $0.upperBound }
      position = end
    }
  }

  /// Bytes of each token, and the ranges in what the tokens decode to; nil where the former do not add
  /// up to the latter.
  private func placed(
    _ ranges: [Range<Int>], _ text: String, _ tokens: [UInt32]
  ) throws(TokenizerError) -> (sizes: [Int], ranges: [Range<Int>])? {
    var sizes = tokens.map { Int(lengths[Int($0)]) }
    let whole = Array(tokenizer.decode(tokens).utf8)
    let total = sizes.reduce(0, +)
    if total == whole.count + 1,
      tokenizer.token(of: tokens[0])?.unicodeScalars.first == Self.blank
    {
      // The blank that decoding takes from the front.
      sizes[0] -= 1
    } else if total != whole.count {
      return nil
    }
    let bytes = Array(text.utf8)
    if whole == bytes { return (sizes, ranges) }
    var moved: [Range<Int>] = []
    for range in ranges {
      var edges: [Int] = []
      for edge in [range.lowerBound, range.upperBound] {
        if edge == bytes.count {
          edges.append(whole.count)
          continue
        }
        let prefix = String(decoding: bytes[..<edge], as: UTF8.self)
        let decoded = Array(tokenizer.decode(try tokenizer.encode(prefix)).utf8)
        guard whole.starts(with: decoded) else { return nil }
        edges.append(decoded.count)
      }
      guard edges[0] <= edges[1] else { return nil }
      moved.append(edges[0]..<edges[1])
    }
    return (sizes, moved)
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
