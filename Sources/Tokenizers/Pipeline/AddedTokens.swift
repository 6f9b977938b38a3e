import Patterns

/// A token that is found in the text before it is cut, whatever the model's merges say.
public struct AddedToken: Sendable, Hashable {
  /// Its text.
  public let content: String
  /// Its number.
  public let id: UInt32
  /// Only found where no word character touches it.
  public let isSingleWord: Bool
  /// Takes white space before it along.
  public let stripsLeft: Bool
  /// Takes white space behind it along.
  public let stripsRight: Bool
  /// Looked for in the normalised text, in its own normalised form.
  public let isNormalized: Bool
  /// Left out by decoding when special tokens are skipped.
  public let isSpecial: Bool
}

/// Finds added tokens: the leftmost, and the longest where several begin.
struct AddedTokenFinder: Sendable {
  private struct Node: Sendable {
    var children: [UInt8: Int32] = [:]
    /// Index of the token that ends here, or -1.
    var token = -1
  }

  private var nodes = [Node()]
  private var isFirstByte = [Bool](repeating: false, count: 256)
  private let tokens: [AddedToken]

  /// A finder of `tokens`, each by the bytes beside it.
  init(_ patterns: [(pattern: [UInt8], token: AddedToken)]) {
    tokens = patterns.map(\.token)
    for (index, pattern) in patterns.enumerated() where !pattern.pattern.isEmpty {
      isFirstByte[Int(pattern.pattern[0])] = true
      var node = 0
      for byte in pattern.pattern {
        if let child = nodes[node].children[byte] {
          node = Int(child)
        } else {
          nodes.append(Node())
          nodes[node].children[byte] = Int32(nodes.count - 1)
          node = nodes.count - 1
        }
      }
      nodes[node].token = index
    }
  }

  /// Cuts `bytes` into tokens and what lies between them, in order.
  func forEachPart(
    _ bytes: [UInt8],
    _ body: (_ range: Range<Int>, _ token: AddedToken?) throws(TokenizerError)
      -> Void
  ) throws(TokenizerError) {
    guard !tokens.isEmpty else {
      if !bytes.isEmpty { try body(0..<bytes.count, nil) }
      return
    }
    var previous = 0
    var position = 0
    while position < bytes.count {
      guard isFirstByte[Int(bytes[position])], let (token, end) = match(bytes, position) else {
        position += 1
        continue
      }
      let start = position
      position = end
      if token.isSingleWord, touchesWord(bytes, start, end) { continue }
      var from = start
      var to = end
      if token.stripsLeft {
        while from > 0, UnicodeTables.whitespace.contains(UTF8Text.last(bytes, before: from)) {
          from = UTF8Text.before(bytes, from)
        }
        from = max(from, previous)
      }
      if token.stripsRight {
        var next = to
        while next < bytes.count,
          UnicodeTables.whitespace.contains(UTF8Text.next(bytes, &next))
        { to = next }
      }
      if previous < from { try body(previous..<from, nil) }
      // All of it may have gone to the token before: the reference then leaves this one out.
      if from < to { try body(from..<to, token) }
      previous = to
    }
    if previous < bytes.count { try body(previous..<bytes.count, nil) }
  }

  private func match(_ bytes: [UInt8], _ start: Int) -> (AddedToken, Int)? {
    var node = 0
    var position = start
    var found: (AddedToken, Int)?
    while position < bytes.count, let child = nodes[node].children[bytes[position]] {
      node = Int(child)
      position += 1
      if nodes[node].token >= 0 { found = (tokens[nodes[node].token], position) }
    }
    return found
  }

  private func touchesWord(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Bool {
    if start > 0, UnicodeTables.otherWord.contains(UTF8Text.last(bytes, before: start)) {
      return true
    }
    var next = end
    return end < bytes.count && UnicodeTables.otherWord.contains(UTF8Text.next(bytes, &next))
  }
}
