/// Reads a pattern of Python's `re` (3.11), for text.
///
/// Names in messages are Python's own where it refuses a pattern; what Python knows and this reader
/// does not is said to be unknown here.
package struct PythonParser {
  /// Python's flags, by their letters.
  package struct Flags: OptionSet {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
    package static let ignoreCase = Flags(rawValue: 1)
    static let multiline = Flags(rawValue: 2)
    static let dotAll = Flags(rawValue: 4)
    static let verbose = Flags(rawValue: 8)
    static let ascii = Flags(rawValue: 16)
    static let unicode = Flags(rawValue: 32)

    static let letters: [Unicode.Scalar: Flags] = [
      "i": .ignoreCase, "m": .multiline, "s": .dotAll, "x": .verbose, "a": .ascii, "u": .unicode,
    ]
  }

  let scalars: [Unicode.Scalar]
  var position = 0
  package var flags: Flags = []
  var depth = 0
  private(set) var groupCount = 0
  private(set) var names: [String: Int] = [:]

  package init(_ pattern: String) throws(RegexError) {
    scalars = Array(pattern.unicodeScalars)
    if scalars.count > RegexLimit.length { throw RegexError(problem: "it is too long") }
  }

  mutating func pattern() throws(RegexError) -> RegexNode {
    let node = try alternatives()
    if position < scalars.count { throw error("unbalanced parenthesis") }
    return node
  }

  // MARK: Text

  var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  mutating func take(_ text: StaticString) -> Bool {
    var place = position
    for scalar in text.description.unicodeScalars {
      guard place < scalars.count, scalars[place] == scalar else { return false }
      place += 1
    }
    position = place
    return true
  }

  func error(_ problem: String) -> RegexError {
    RegexError(problem: "\(problem) at position \(position)")
  }

  static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
  static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
  }

  // MARK: Grammar

  private mutating func alternatives() throws(RegexError) -> RegexNode {
    depth += 1
    defer { depth -= 1 }
    if depth > RegexLimit.depth { throw error("nested deeper than \(RegexLimit.depth)") }
    var branches = [try sequence(isFirst: depth == 1)]
    while take("|") { branches.append(try sequence(isFirst: false)) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  /// - Parameter isFirst: whether flags for the whole pattern may stand here.
  private mutating func sequence(isFirst: Bool) throws(RegexError) -> RegexNode {
    var nodes: [RegexNode] = []
    /// Whether the last node is one that Python repeats, and whether it is a repetition already.
    var (isRepeatable, isRepeated) = (false, false)
    while let scalar = next, scalar != "|", scalar != ")" {
      if flags.contains(.verbose), skipsVerbose(scalar) { continue }
      let start = position
      position += 1
      switch scalar {
      case "*", "+", "?", "{":
        guard let (minimum, maximum) = try bounds(scalar) else {
          nodes.append(literal(scalar.value))
          (isRepeatable, isRepeated) = (true, false)
          continue
        }
        guard isRepeatable, let last = nodes.popLast() else { throw error("nothing to repeat") }
        if isRepeated { throw error("multiple repeat") }
        let greed: RegexNode.Greed = take("?") ? .lazy : take("+") ? .possessive : .greedy
        nodes.append(.repeated(last, minimum: minimum, maximum: maximum, greed))
        isRepeated = true
      case "(":
        guard let node = try group(start, isFirst: isFirst && nodes.isEmpty) else { continue }
        nodes.append(node)
        (isRepeatable, isRepeated) = (true, false)
      case "^", "$":
        let isMultiline = flags.contains(.multiline)
        nodes.append(
          .anchor(
            scalar == "^"
              ? (isMultiline ? .lineStart(afterLast: true) : .textStart)
              : (isMultiline ? .lineEnd : .lastLineEnd)))
        (isRepeatable, isRepeated) = (false, false)
      case "\\":
        let node = try escape()
        nodes.append(node)
        if case .anchor = node { isRepeatable = false } else { isRepeatable = true }
        isRepeated = false
      default:
        switch scalar {
        case ".":
          nodes.append(
            .set(
              flags.contains(.dotAll)
                ? ScalarSet(0...0x10ffff) : ScalarSet(0x0a...0x0a).inverted))
        case "[": nodes.append(try characterClass())
        default: nodes.append(literal(scalar.value))
        }
        (isRepeatable, isRepeated) = (true, false)
      }
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  /// Passes over a blank or a comment of a verbose pattern.
  private mutating func skipsVerbose(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case " ", "\t", "\n", "\r", "\u{b}", "\u{c}": position += 1
    case "#":
      // An escaped newline does not end the comment.
      while let other = next, other != "\n" { position += other == "\\" ? 2 : 1 }
    default: return false
    }
    return true
  }

  /// The bounds of a repetition; nil where a brace is just that.
  private mutating func bounds(_ sign: Unicode.Scalar) throws(RegexError) -> (Int, Int?)? {
    switch sign {
    case "*": return (0, nil)
    case "+": return (1, nil)
    case "?": return (0, 1)
    default: break
    }
    let start = position
    if next == "}" { return nil }
    let low = try number()
    let high = take(",") ? try number() : low
    guard take("}") else {
      position = start
      return nil
    }
    if let high, high < low ?? 0 { throw error("min repeat greater than max repeat") }
    return (low ?? 0, high)
  }

  private mutating func number() throws(RegexError) -> Int? {
    var value: Int?
    while let digit = next, Self.isDigit(digit) {
      value = (value ?? 0) * 10 + Int(digit.value - 48)
      position += 1
      if value ?? 0 > 100_000 { throw error("a repetition of more than 100000 times") }
    }
    return value
  }

  // MARK: Groups

  /// A group behind its parenthesis; nil where it stands for nothing.
  private mutating func group(
    _ start: Int, isFirst: Bool
  ) throws(RegexError) -> RegexNode? {
    let outer = flags
    var isGlobal = false
    defer { if !isGlobal { flags = outer } }
    var wrap: (RegexNode) throws(RegexError) -> RegexNode = { $0 }
    if take("?") {
      guard let kind = next else { throw error("unexpected end of pattern") }
      position += 1
      switch kind {
      case ":": break
      case ">": wrap = { .atomic($0) }
      case "=": wrap = { .lookahead($0, isNegative: false) }
      case "!": wrap = { .lookahead($0, isNegative: true) }
      case "#":
        while let scalar = next, scalar != ")" { position += scalar == "\\" ? 2 : 1 }
        guard take(")") else { throw error("missing ), unterminated comment") }
        return nil
      case "<":
        let isNegative = next == "!"
        guard take("=") || take("!") else { throw error("unknown extension ?<") }
        wrap = { node throws(RegexError) in
          guard let width = node.width else {
            throw RegexError(problem: "look-behind requires fixed-width pattern")
          }
          return .lookbehind(node, isNegative: isNegative, width: width)
        }
      case "P":
        if take("=") { throw error("a reference to a group, '(?P=', is not known here,") }
        guard take("<") else { throw error("unknown extension ?P") }
        let name = try groupName()
        groupCount += 1
        guard names.updateValue(groupCount, forKey: name) == nil else {
          throw error("redefinition of group name '\(name)'")
        }
        let number = groupCount
        wrap = { .group($0, number: number) }
      case "(": throw error("a condition on a group, '(?(', is not known here,")
      default:
        position -= 1
        guard try readsFlags() else {
          // Flags for the whole pattern.
          guard isFirst else {
            position = start
            throw error("global flags not at the start of the expression")
          }
          isGlobal = true
          return nil
        }
      }
    } else {
      groupCount += 1
      let number = groupCount
      wrap = { .group($0, number: number) }
    }
    let body = try alternatives()
    guard take(")") else {
      position = start
      throw error("missing ), unterminated subpattern")
    }
    return try wrap(body)
  }

  private mutating func groupName() throws(RegexError) -> String {
    var name = String.UnicodeScalarView()
    while let scalar = next, scalar != ">" {
      name.append(scalar)
      position += 1
    }
    guard take(">") else { throw error("missing >, unterminated name") }
    let isName = name.enumerated().allSatisfy { index, scalar in
      scalar == "_"
        || scalar.properties.isXIDContinue
          && (index > 0 || scalar.properties.isXIDStart)
    }
    guard isName, !name.isEmpty else {
      throw error("bad character in group name '\(String(name))'")
    }
    return String(name)
  }

  /// `i`, `m-s:` and their like; whether a colon follows, so that they are for the group alone.
  private mutating func readsFlags() throws(RegexError) -> Bool {
    var (on, off): (Flags, Flags) = ([], [])
    var isOn = true
    var isEmpty = true
    while let letter = next {
      position += 1
      if letter == ":" || letter == ")" {
        if isEmpty { throw error(isOn ? "unknown extension ?\(letter)" : "missing flag") }
        if letter == ")", !isOn { throw error("missing :") }
        if on.contains(.ascii), on.contains(.unicode) {
          throw error("flags 'a', 'u' and 'L' are incompatible")
        }
        if !on.isDisjoint(with: off) { throw error("flag turned on and off") }
        flags.formUnion(on)
        flags.subtract(off)
        if on.contains(.unicode) { flags.remove(.ascii) }
        return letter == ":"
      }
      if letter == "-", isOn {
        (isOn, isEmpty) = (false, true)
        continue
      }
      if letter == "L" { throw error("cannot use 'L' flag with a str pattern") }
      guard let flag = Flags.letters[letter] else {
        throw error(isEmpty && isOn ? "unknown extension ?\(letter)" : "unknown flag")
      }
      if !isOn, flag == .ascii || flag == .unicode {
        throw error("flags 'a', 'u' and 'L' cannot be turned off")
      }
      isEmpty = false
      if isOn { on.insert(flag) } else { off.insert(flag) }
    }
    throw error("missing -, : or )")
  }

  /// A scalar as it is, or in every case.
  func literal(_ scalar: UInt32) -> RegexNode {
    guard flags.contains(.ignoreCase) else { return .scalar(scalar) }
    let set = cases(of: ScalarSet(scalar...scalar))
    return set.only.map { .scalar($0) } ?? .set(set)
  }
}
