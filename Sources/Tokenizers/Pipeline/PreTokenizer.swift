import Patterns

/// A text cut into words: ranges of its bytes, in order.
struct CutText {
  var bytes: [UInt8]
  var words: [Range<Int>]
  /// Whether the first word begins where the input begins.
  var beginsAtStart: Bool

  init(_ text: Normalizer.Text) {
    bytes = text.bytes
    words = bytes.isEmpty ? [] : [0..<bytes.count]
    beginsAtStart = text.beginsAtStart
  }
}

/// A way to cut text into words, between which nothing merges.
indirect enum PreTokenizer: Sendable {
  enum PrependScheme: String, Sendable { case always, first, never }

  /// GPT-2's: every byte becomes a character, after a cut by its regular expression if so asked.
  case byteLevel(addsPrefixSpace: Bool, pattern: RegexProgram?)
  case split(TextPattern, SplitBehavior, inverts: Bool)
  case digits(individual: Bool)
  case metaspace(replacement: UInt32, PrependScheme, splits: Bool)
  case punctuation(SplitBehavior)
  /// Words, and what is neither word nor white space.
  case whitespace
  case whitespaceSplit
  case delimiter(UInt32)
  case fixedLength(Int)
  case bert
  case sequence([PreTokenizer])

  /// GPT-2's regular expression, which ByteLevel uses unless told not to.
  static let byteLevelPattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// Cuts the words further.
  ///
  /// - Throws: where a regular expression takes too many steps.
  func apply(_ text: inout CutText) throws(RegexError) {
    switch self {
    case .byteLevel:
      try cutForByteLevel(&text)
      text.rewrite { bytes, word, result in
        for index in word { UTF8Text.append(ByteAlphabet.scalars[Int(bytes[index])], to: &result) }
      }
    case .split(let pattern, let behavior, let inverts):
      var matcher = pattern.matcher()
      try text.cut { bytes, word, result throws(RegexError) in
        var stretches = try pattern.stretches(bytes, word, &matcher)
        if inverts { for index in stretches.indices { stretches[index].isMatch.toggle() } }
        behavior.pieces(stretches, into: &result)
      }
    case .digits(let individual):
      let behavior: SplitBehavior = individual ? .isolated : .contiguous
      text.cut(at: UnicodeTables.numeric, behavior)
    case .metaspace(let replacement, let scheme, let splits):
      applyMetaspace(&text, replacement, scheme, splits: splits)
    case .punctuation(let behavior): text.cut(at: UnicodeTables.punctuation, behavior)
    case .whitespace: cutWords(&text)
    case .whitespaceSplit: text.cut(at: UnicodeTables.whitespace, .removed)
    case .delimiter(let scalar): text.cut(at: ScalarSet(scalar...scalar), .removed)
    case .fixedLength(let length): cutFixed(&text, length)
    case .bert:
      text.cut(at: UnicodeTables.whitespace, .removed)
      text.cut(at: UnicodeTables.punctuation, .isolated)
    case .sequence(let parts): for part in parts { try part.apply(&text) }
    }
  }

  /// The part of ByteLevel before bytes become characters.
  func cutForByteLevel(_ text: inout CutText) throws(RegexError) {
    guard case .byteLevel(let addsPrefixSpace, let pattern) = self else { return }
    if addsPrefixSpace {
      text.rewrite { bytes, word, result in
        if bytes[word.lowerBound] != 0x20 { result.append(0x20) }
        result.append(contentsOf: bytes[word])
      }
    }
    guard let pattern else { return }
    var matcher = RegexMatcher(pattern)
    try text.cut { bytes, word, result throws(RegexError) in
      var previous = word.lowerBound
      try matcher.matches(bytes, in: word) { match in
        if previous < match.lowerBound { result.append(previous..<match.lowerBound) }
        result.append(match)
        previous = match.upperBound
      }
      if previous < word.upperBound { result.append(previous..<word.upperBound) }
    }
  }

  private func applyMetaspace(
    _ text: inout CutText, _ replacement: UInt32, _ scheme: PrependScheme, splits: Bool
  ) {
    var mark: [UInt8] = []
    UTF8Text.append(replacement, to: &mark)
    var isFirst = text.beginsAtStart
    text.rewrite { bytes, word, result in
      let prepends = scheme == .always || (scheme == .first && isFirst)
      isFirst = false
      if prepends, bytes[word.lowerBound] != 0x20, !bytes[word].starts(with: mark) {
        result.append(contentsOf: mark)
      }
      for index in word {
        if bytes[index] == 0x20 {
          result.append(contentsOf: mark)
        } else {
          result.append(bytes[index])
        }
      }
    }
    if splits { text.cut(at: ScalarSet(replacement...replacement), .mergedWithNext) }
  }

  /// `\w+|[^\w\s]+`, everything else removed.
  private func cutWords(_ text: inout CutText) {
    text.cut { bytes, word, result in
      var previousKind = 0
      var position = word.lowerBound
      while position < word.upperBound {
        let start = position
        let scalar = UTF8Text.next(bytes, &position)
        let kind =
          UnicodeTables.otherWord.contains(scalar)
          ? 1 : UnicodeTables.whitespace.contains(scalar) ? 0 : 2
        if kind != 0, kind == previousKind, let last = result.last {
          result[result.count - 1] = last.lowerBound..<position
        } else if kind != 0 {
          result.append(start..<position)
        }
        previousKind = kind
      }
    }
  }

  private func cutFixed(_ text: inout CutText, _ length: Int) {
    text.cut { bytes, word, result in
      var position = word.lowerBound
      while position < word.upperBound {
        let start = position
        var taken = 0
        while taken < length && position < word.upperBound {
          _ = UTF8Text.next(bytes, &position)
          taken += 1
        }
        result.append(start..<position)
      }
    }
  }
}

extension CutText {
  /// Cuts each word into the pieces that `body` appends; empty ones vanish.
  mutating func cut<Failure: Error>(
    _ body: (_ bytes: [UInt8], _ word: Range<Int>, _ result: inout [Range<Int>])
      throws(Failure) -> Void
  ) throws(Failure) {
    var result: [Range<Int>] = []
    result.reserveCapacity(words.count + bytes.count / 4)
    for word in words { try body(bytes, word, &result) }
    if result.contains(where: { $0.isEmpty }) { result.removeAll { $0.isEmpty } }
    if let first = result.first, first.lowerBound > (words.first?.lowerBound ?? 0) {
      beginsAtStart = false
    }
    words = result
  }

  /// Cuts at single scalars of a set.
  mutating func cut(at set: ScalarSet, _ behavior: SplitBehavior) {
    cut { bytes, word, result in
      behavior.pieces(scalarStretches(bytes, word, set), into: &result)
    }
  }

  /// Writes each word anew, as `body` appends it.
  mutating func rewrite(
    _ body: (_ bytes: [UInt8], _ word: Range<Int>, _ result: inout [UInt8]) -> Void
  ) {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + words.count)
    for index in words.indices {
      let start = result.count
      body(bytes, words[index], &result)
      words[index] = start..<result.count
    }
    bytes = result
  }
}
