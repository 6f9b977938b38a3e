/// Reads the part of Oniguruma's syntax that published tokenizers use.
///
/// What it does not know it names, so that no text is cut by a guess.
struct OnigurumaParser {
  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var dotTakesNewline = false
  /// Groups, classes and repetitions around what is being read.
  private var depth = 0

  init(_ pattern: String) throws(RegexError) {
    scalars = Array(pattern.unicodeScalars)
    if scalars.count > RegexLimit.length { throw RegexError(problem: "it is too long") }
  }

  mutating func pattern() throws(RegexError) -> RegexNode {
    let node = try alternatives()
    if position < scalars.count { throw RegexError(problem: "')' without '('") }
    return node
  }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ text: String) -> Bool {
    let wanted = Array(text.unicodeScalars)
    guard scalars[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }

  private mutating func enter() throws(RegexError) {
    depth += 1
    if depth > RegexLimit.depth {
      throw RegexError(problem: "it is nested deeper than \(RegexLimit.depth)")
    }
  }

  private mutating func alternatives() throws(RegexError) -> RegexNode {
    try enter()
    defer { depth -= 1 }
    var branches: [RegexNode] = []
    repeat { branches.append(try sequence()) } while take("|")
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence() throws(RegexError) -> RegexNode {
    var nodes: [RegexNode] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      if let node = try atom() { nodes.append(try quantified(node)) }
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private mutating func quantified(_ atom: RegexNode) throws(RegexError) -> RegexNode {
    var node = atom
    let outer = depth
    defer { depth = outer }
    while let scalar = next {
      let minimum: Int
      let maximum: Int?
      var isInterval = false
      switch scalar {
      case "*": (minimum, maximum) = (0, nil)
      case "+": (minimum, maximum) = (1, nil)
      case "?": (minimum, maximum) = (0, 1)
      case "{":
        let start = position
        guard let bounds = interval() else {
          position = start
          return node
        }
        (minimum, maximum) = bounds
        isInterval = true
        position -= 1
      default: return node
      }
      position += 1
      var greed = RegexNode.Greed.greedy
      if isInterval, minimum == maximum, next == "?" {
        throw RegexError(problem: "'{n}?' means different things to different readers")
      }
      if take("?") {
        greed = .lazy
      } else if !isInterval, take("+") {
        // In Ruby's syntax `{1,3}+` is a repetition of the repetition.
        greed = .possessive
      }
      // A repetition of the repetition is a level deeper.
      try enter()
      node = .repeated(node, minimum: minimum, maximum: maximum, greed)
    }
    return node
  }

  /// `{n}`, `{n,}`, `{n,m}` or `{,m}`; anything else is literal text.
  private mutating func interval() -> (Int, Int?)? {
    position += 1
    let low = number()
    var high = low
    if take(",") { high = number() } else if low == nil { return nil }
    let hasComma = scalars[position - 1] == "," || high != low
    guard take("}"), low != nil || high != nil else { return nil }
    if low != nil, high == nil, hasComma { return (low ?? 0, nil) }
    if let high, high < low ?? 0 { return nil }
    return (low ?? 0, high)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let digit = next?.value, digit >= 48, digit <= 57, value ?? 0 < 100_000 {
      value = (value ?? 0) * 10 + Int(digit - 48)
      position += 1
    }
    return value
  }

  private mutating func atom() throws(RegexError) -> RegexNode? {
    let scalar = scalars[position]
    position += 1
    switch scalar {
    case "(": return try group()
    case "[": return .set(try characterClass())
    case ".":
      return .set(dotTakesNewline ? ScalarSet(0...0x10ffff) : ScalarSet(0x0a...0x0a).inverted)
    case "^": return .anchor(.lineStart(afterLast: false))
    case "$": return .anchor(.lineEnd)
    case "\\": return try escape()
    case "*", "+", "?": throw RegexError(problem: "'\(scalar)' repeats nothing")
    default: return literal(scalar.value)
    }
  }

  private mutating func group() throws(RegexError) -> RegexNode? {
    let outer = (ignoresCase, dotTakesNewline)
    defer { (ignoresCase, dotTakesNewline) = outer }
    let wrap: (RegexNode) -> RegexNode
    if take("?:") {
      wrap = { $0 }
    } else if take("?=") {
      wrap = { .lookahead($0, isNegative: false) }
    } else if take("?!") {
      wrap = { .lookahead($0, isNegative: true) }
    } else if take("?>") {
      wrap = { .atomic($0) }
    } else if take("?<=") || take("?<!") {
      throw RegexError(problem: "it looks behind")
    } else if next == "?" {
      position += 1
      var isOn = true
      while let flag = next, flag != ":", flag != ")" {
        switch flag {
        case "-": isOn = false
        case "i": ignoresCase = isOn
        case "m": dotTakesNewline = isOn
        default: throw RegexError(problem: "the group '(?\(flag)' is not known")
        }
        position += 1
      }
      if take(")") {
        // The rest of the enclosing group, alternatives included, is under the flags.
        return try alternatives()
      }
      guard take(":") else { throw RegexError(problem: "'(' without ')'") }
      wrap = { $0 }
    } else {
      wrap = { $0 }
    }
    let body = try alternatives()
    guard take(")") else { throw RegexError(problem: "'(' without ')'") }
    return wrap(body)
  }

  private mutating func escape() throws(RegexError) -> RegexNode {
    guard let scalar = next else { throw RegexError(problem: "it ends with '\\'") }
    switch scalar {
    case "A":
      position += 1
      return .anchor(.textStart)
    case "z":
      position += 1
      return .anchor(.textEnd)
    case "b":
      position += 1
      return .anchor(.wordEdge(.oniguruma))
    case "B":
      position += 1
      return .anchor(.notWordEdge(.oniguruma))
    default: return try escapedNode()
    }
  }

  private mutating func escapedNode() throws(RegexError) -> RegexNode {
    let set = try escapedSet()
    return set.only.map { .scalar($0) } ?? .set(set)
  }

  /// The set of an escape, in a class or outside.
  private mutating func escapedSet() throws(RegexError) -> ScalarSet {
    guard let scalar = next else { throw RegexError(problem: "it ends with '\\'") }
    position += 1
    switch scalar {
    case "s": return UnicodeTables.whitespace
    case "S": return UnicodeTables.whitespace.inverted
    case "d": return UnicodeTables.category(prefix: "nd")
    case "D": return UnicodeTables.category(prefix: "nd").inverted
    case "w": return UnicodeTables.word
    case "W": return UnicodeTables.word.inverted
    case "h": return ScalarSet(0x30...0x39, 0x41...0x46, 0x61...0x66)
    case "p", "P": return try property(isNegative: scalar == "P")
    case "x", "u", "0"..."9", "A"..."Z", "a"..."z":
      return cases(of: try escapedScalar(scalar))
    default: return cases(of: scalar.value)
    }
  }

  private mutating func escapedScalar(_ letter: Unicode.Scalar) throws(RegexError) -> UInt32 {
    switch letter {
    case "n": return 0x0a
    case "r": return 0x0d
    case "t": return 0x09
    case "f": return 0x0c
    case "v": return 0x0b
    case "a": return 0x07
    case "e": return 0x1b
    case "0" where next.map { !("0"..."7").contains($0) } ?? true: return 0
    case "x":
      if take("{") {
        let value = hexadecimal(upTo: 8)
        guard let value, take("}"), Unicode.Scalar(value) != nil else { break }
        return value
      }
      // One byte of UTF-8 beyond ASCII would be half a character.
      if let value = hexadecimal(upTo: 2), value < 0x80 { return value }
    case "u":
      let start = position
      if let value = hexadecimal(upTo: 4), position == start + 4, Unicode.Scalar(value) != nil {
        return value
      }
    default: break
    }
    throw RegexError(problem: "the escape '\\\(letter)' is not known")
  }

  private mutating func hexadecimal(upTo digits: Int) -> UInt32? {
    var value: UInt32?
    var count = 0
    while count < digits, let digit = next.flatMap({ Character($0).hexDigitValue }),
      next?.isASCII == true
    {
      value = (value ?? 0) << 4 | UInt32(digit)
      position += 1
      count += 1
    }
    return value
  }

  private mutating func property(isNegative: Bool) throws(RegexError) -> ScalarSet {
    guard take("{") else { throw RegexError(problem: "'\\p' without '{'") }
    let inverts = take("^") != isNegative
    var name = ""
    while let scalar = next, scalar != "}" {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    guard take("}"), let set = UnicodeTables.property(name) else {
      throw RegexError(problem: "the property '\(name)' is not known")
    }
    return inverts ? set.inverted : set
  }

  /// The inside of `[`…`]`.
  private mutating func characterClass() throws(RegexError) -> ScalarSet {
    try enter()
    defer { depth -= 1 }
    let isNegative = take("^")
    var intersection: ScalarSet?
    var set = ScalarSet()
    var isFirst = true
    while true {
      guard let scalar = next else { throw RegexError(problem: "'[' without ']'") }
      if scalar == "]", !isFirst {
        position += 1
        break
      }
      isFirst = false
      if take("&&") {
        if let earlier = intersection { set.formIntersection(earlier) }
        intersection = set
        set = ScalarSet()
      } else if scalar == "[" {
        position += 1
        if next == ":" { throw RegexError(problem: "POSIX brackets are not known") }
        set.formUnion(try characterClass())
      } else {
        set.formUnion(try classItem())
      }
    }
    if let intersection { set.formIntersection(intersection) }
    return isNegative ? set.inverted : set
  }

  /// One scalar, range or escape of a class.
  private mutating func classItem() throws(RegexError) -> ScalarSet {
    guard let first = try classScalar() else { return try escapedSet() }
    guard next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else {
      return cases(of: first)
    }
    position += 1
    guard let last = try classScalar(), last >= first else {
      throw RegexError(problem: "a range in '[' does not go up")
    }
    return ignoresCase ? CaseFolding.closure(of: ScalarSet(first...last)) : ScalarSet(first...last)
  }

  /// A single scalar of a class; `nil` before an escape that stands for a set, behind its backslash.
  private mutating func classScalar() throws(RegexError) -> UInt32? {
    guard let scalar = next else { throw RegexError(problem: "'[' without ']'") }
    position += 1
    guard scalar == "\\" else { return scalar.value }
    guard let letter = next else { throw RegexError(problem: "it ends with '\\'") }
    switch letter {
    case "s", "S", "d", "D", "w", "W", "p", "P", "h": return nil
    case "b":
      position += 1
      return 0x08
    case "a"..."z", "A"..."Z", "0"..."9":
      position += 1
      return try escapedScalar(letter)
    default:
      position += 1
      return letter.value
    }
  }

  private func literal(_ scalar: UInt32) -> RegexNode {
    guard ignoresCase else { return .scalar(scalar) }
    let set = cases(of: scalar)
    return set.only.map { .scalar($0) } ?? .set(set)
  }

  private func cases(of scalar: UInt32) -> ScalarSet {
    let set = ScalarSet(scalar...scalar)
    return ignoresCase ? CaseFolding.closure(of: set) : set
  }
}
