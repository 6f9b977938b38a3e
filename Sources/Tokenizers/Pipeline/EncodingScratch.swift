/// What encoding needs besides the tokenizer: buffers, and the tokens of words met before.
///
/// One belongs to one call at a time; the tokenizer lends it out and takes it back.
final class EncodingScratch: @unchecked Sendable {
  // Sendable: it is reached through the tokenizer's pool alone, which hands each to one call.

  /// Longer words are rare and are not kept.
  private static let longestKept = 64
  /// When the kept words take this many bytes, or are this many, all are forgotten.
  private static let keptBytes = 4 << 20
  private static let keptWords = 1 << 17

  private var words = ByteStringTable(capacity: 1 << 12)
  /// Tokens of the kept words, end to end; a word's entry is its first one and their number.
  private var tokens: [UInt32] = []
  private var entries: [(start: Int32, count: Int32)] = []
  private var merger = WordMerger()

  /// Appends the tokens of the word `bytes[range]`.
  func encode(
    _ bytes: [UInt8], _ range: Range<Int>, isRaw: Bool, _ model: BPEModel,
    into ids: inout [UInt32]
  ) throws(TokenizerError) {
    if isRaw { return try encodePiece(bytes, range, isRaw: true, model, into: &ids) }
    var start = range.lowerBound
    while start < range.upperBound {
      let end = model.pieceEnd(bytes, from: start, in: range)
      try encodePiece(bytes, start..<end, isRaw: false, model, into: &ids)
      start = end
    }
  }

  private func encodePiece(
    _ bytes: [UInt8], _ range: Range<Int>, isRaw: Bool, _ model: BPEModel,
    into ids: inout [UInt32]
  ) throws(TokenizerError) {
    guard range.count <= Self.longestKept else {
      return try model.encode(bytes, range, isRaw: isRaw, &merger, into: &ids)
    }
    if let entry = words.value(bytes, range) {
      let (start, count) = entries[Int(entry)]
      // Most words are one token.
      if count == 1 {
        ids.append(tokens[Int(start)])
      } else {
        ids.append(contentsOf: tokens[Int(start)..<Int(start + count)])
      }
      return
    }
    let before = ids.count
    try model.encode(bytes, range, isRaw: isRaw, &merger, into: &ids)
    if words.keyBytes > Self.keptBytes || words.count >= Self.keptWords {
      words.removeAll()
      tokens.removeAll(keepingCapacity: true)
      entries.removeAll(keepingCapacity: true)
    }
    entries.append((Int32(tokens.count), Int32(ids.count - before)))
    tokens.append(contentsOf: ids[before...])
    words.set(bytes, range, to: UInt32(entries.count - 1))
  }
}
