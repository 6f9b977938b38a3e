import Synchronization

/// A regular expression as Python's `re` reads it.
///
/// ```swift
/// let pattern = try PythonPattern(#".*\.(q|v)_proj\b"#)
/// let isWhole = try pattern.matchesWhole("model.layers.0.self_attn.q_proj")
/// ```
///
/// It gives the answers of Python 3.11's `re` for text: groups, named ones, flags, looks ahead and
/// back, atomic groups and possessive repetitions are known; references to groups, conditions and
/// characters by name (`\N{…}`) are refused by name. A repeated group keeps what it took when it takes
/// nothing once more, where Python notes the nothing. A search takes a time that does not grow
/// exponentially with the text.
package struct PythonPattern: Sendable {
  private let program: RegexProgram
  private let names: [String: Int]

  /// Reads a pattern.
  ///
  /// - Throws: what is wrong with it or not known to this reader.
  package init(_ source: String) throws(RegexError) {
    var parser = try PythonParser(source)
    let node = try parser.pattern()
    names = parser.names
    program = try RegexProgram(node, repeatsEmpty: true, groupCount: parser.groupCount)
  }

  /// Patterns that were read before: a model has hundreds of paths, each tried with the same few.
  private static let known = Mutex<[[UInt8]: PythonPattern]>([:])

  /// The pattern of a text that is likely to be asked for again.
  package static func kept(_ source: String) throws(RegexError) -> PythonPattern {
    let key = Array(source.utf8)
    if let pattern = known.withLock({ $0[key] }) { return pattern }
    let pattern = try PythonPattern(source)
    known.withLock {
      if $0.count >= 64 { $0.removeAll() }
      $0[key] = pattern
    }
    return pattern
  }

  /// Whether the whole text matches: `re.fullmatch`.
  ///
  /// - Throws: `RegexError.tooSlow`.
  package func matchesWhole(_ text: String) throws(RegexError) -> Bool {
    var matcher = RegexMatcher(program)
    return try matcher.match(Array(text.utf8), isWhole: true) != nil
  }

  /// The match at the text's beginning: `re.match`.
  ///
  /// - Throws: `RegexError.tooSlow`.
  package func match(_ text: String) throws(RegexError) -> Match? {
    var matcher = RegexMatcher(program)
    let bytes = Array(text.utf8)
    guard let groups = try matcher.match(bytes, isWhole: false) else { return nil }
    return Match(
      groups: groups.map { $0.map { String(decoding: bytes[$0], as: UTF8.self) } }, names: names)
  }

  /// What `re.match` gives.
  package struct Match: Sendable {
    /// The texts of the groups, that of the whole match first; nil where a group took no part.
    package let groups: [String?]
    private let names: [String: Int]

    init(groups: [String?], names: [String: Int]) {
      self.groups = groups
      self.names = names
    }

    /// The text of a named group.
    package subscript(name: String) -> String? { names[name].flatMap { groups[$0] } }
  }
}
