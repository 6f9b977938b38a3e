/// What a pattern can be made of, whichever dialect it is written in.
indirect enum RegexNode: Sendable {
  /// One scalar.
  case scalar(UInt32)
  /// One scalar of a set.
  case set(ScalarSet)
  /// One after the other.
  case sequence([RegexNode])
  /// The first that leads to a match.
  case alternatives([RegexNode])
  /// A node again and again; `maximum` nil is without end.
  case repeated(RegexNode, minimum: Int, maximum: Int?, Greed)
  /// Matches without taking anything, if the node does (or does not) match here.
  case lookahead(RegexNode, isNegative: Bool)
  /// Matches without taking anything, if the node does (or does not) match the `width` scalars before.
  case lookbehind(RegexNode, isNegative: Bool, width: Int)
  /// Matches and keeps what it found, whatever comes after.
  case atomic(RegexNode)
  /// Notes where the node matched.
  case group(RegexNode, number: Int)
  /// A place.
  case anchor(Anchor)

  enum Greed: Sendable { case greedy, lazy, possessive }

  /// What a word is made of.
  enum Word: Sendable {
    /// Oniguruma's `\w`.
    case oniguruma
    /// Python's `\w`: letters, numbers and the underscore.
    case python
    /// Python's `\w` under `(?a)`.
    case ascii

    var set: ScalarSet {
      switch self {
      case .oniguruma: UnicodeTables.word
      case .python: PythonSets.word
      case .ascii: PythonSets.asciiWord
      }
    }
  }

  enum Anchor: Sendable {
    case textStart
    case textEnd
    /// The end of the text, or before the newline that ends it: Python's `$`.
    case lastLineEnd
    /// Behind a newline or at the start; `afterLast` is whether a line begins behind a newline that
    /// ends the text too.
    case lineStart(afterLast: Bool)
    case lineEnd
    case wordEdge(Word)
    case notWordEdge(Word)
  }

  /// Whether it can match without taking a scalar.
  var canBeEmpty: Bool {
    switch self {
    case .scalar, .set: false
    case .sequence(let nodes): nodes.allSatisfy(\.canBeEmpty)
    case .alternatives(let branches): branches.contains(where: \.canBeEmpty)
    case .repeated(let body, let minimum, _, _): minimum == 0 || body.canBeEmpty
    case .atomic(let body), .group(let body, _): body.canBeEmpty
    case .lookahead, .lookbehind, .anchor: true
    }
  }

  /// Scalars that it takes, where that is one number; nil where it is not.
  var width: Int? {
    switch self {
    case .scalar, .set: return 1
    case .sequence(let nodes):
      var sum = 0
      for node in nodes {
        guard let width = node.width else { return nil }
        sum += width
      }
      return sum
    case .alternatives(let branches):
      let widths = Set(branches.map(\.width))
      return widths.count == 1 ? widths.first ?? nil : nil
    case .repeated(let body, let minimum, let maximum, _):
      guard let width = body.width else { return nil }
      return minimum == maximum ? width * minimum : width == 0 ? 0 : nil
    case .atomic(let body), .group(let body, _): return body.width
    case .lookahead, .lookbehind, .anchor: return 0
    }
  }
}

/// Why a pattern cannot be read, or not be run.
package struct RegexError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, as half a sentence: "')' without '('".
  package let problem: String

  /// The search would take more steps than any sane pattern needs.
  package static let tooSlow = RegexError(problem: "the search takes too many steps")

  package init(problem: String) { self.problem = problem }

  package var description: String { problem }
}

/// Depths and sizes up to which patterns are read.
enum RegexLimit {
  /// Groups and classes inside each other: far from the end of a thread's stack.
  static let depth = 100
  /// Instructions of a compiled pattern: more than any sane pattern has.
  static let instructions = 20_000
  /// Different sets of scalars; each takes 136 KiB.
  static let sets = 256
  /// Scalars of a pattern's text.
  static let length = 1 << 16
}
