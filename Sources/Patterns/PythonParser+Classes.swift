/// Escapes and classes.
extension PythonParser {
  /// An escape outside a class, behind its backslash.
  mutating func escape() throws(RegexError) -> RegexNode {
    guard let letter = next else { throw error("bad escape (end of pattern)") }
    position += 1
    let word: RegexNode.Word = flags.contains(.ascii) ? .ascii : .python
    switch letter {
    case "A": return .anchor(.textStart)
    case "Z": return .anchor(.textEnd)
    case "b": return .anchor(.wordEdge(word))
    case "B": return .anchor(.notWordEdge(word))
    case "1"..."9":
      // Three octal digits are a character; everything else refers to a group.
      if let value = octal(first: letter, digits: 3, exactly: true) { return try checked(value) }
      throw error("a reference to a group, '\\\(letter)', is not known here,")
    default:
      if let set = category(letter) { return .set(set) }
      return literal(try character(letter))
    }
  }

  private func checked(_ value: UInt32) throws(RegexError) -> RegexNode {
    if value > 0o377 { throw error("octal escape value outside of range 0-0o377") }
    return literal(value)
  }

  /// Octal digits from the one that was read; nil, having read no more, where they are too few.
  private mutating func octal(
    first: Unicode.Scalar, digits: Int, exactly: Bool
  ) -> UInt32? {
    let start = position
    guard ("0"..."7").contains(first) else { return nil }
    var value = first.value - 48
    var count = 1
    while count < digits, let digit = next, ("0"..."7").contains(digit) {
      value = value * 8 + digit.value - 48
      position += 1
      count += 1
    }
    if exactly, count < digits {
      position = start
      return nil
    }
    return value
  }

  /// The set of `\d` and its like.
  private func category(_ letter: Unicode.Scalar) -> ScalarSet? {
    let isASCII = flags.contains(.ascii)
    switch letter {
    case "d": return isASCII ? PythonSets.asciiDigits : PythonSets.digits
    case "D": return (isASCII ? PythonSets.asciiDigits : PythonSets.digits).inverted
    case "s": return isASCII ? PythonSets.asciiSpace : PythonSets.space
    case "S": return (isASCII ? PythonSets.asciiSpace : PythonSets.space).inverted
    case "w": return isASCII ? PythonSets.asciiWord : PythonSets.word
    case "W": return (isASCII ? PythonSets.asciiWord : PythonSets.word).inverted
    default: return nil
    }
  }

  /// The one character of an escape whose letter was read.
  private mutating func character(_ letter: Unicode.Scalar) throws(RegexError) -> UInt32 {
    switch letter {
    case "a": return 0x07
    case "f": return 0x0c
    case "n": return 0x0a
    case "r": return 0x0d
    case "t": return 0x09
    case "v": return 0x0b
    case "0": return octal(first: letter, digits: 3, exactly: false) ?? 0
    case "x": return try hexadecimal(2, letter)
    case "u": return try hexadecimal(4, letter)
    case "U": return try hexadecimal(8, letter)
    case "N": throw error("a character by its name, '\\N', is not known here,")
    default:
      if Self.isLetter(letter) { throw error("bad escape \\\(letter)") }
      return letter.value
    }
  }

  private mutating func hexadecimal(
    _ digits: Int, _ letter: Unicode.Scalar
  ) throws(RegexError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<digits {
      guard let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
        throw error("incomplete escape \\\(letter)")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    // Half a surrogate pair is no character of a text here.
    guard Unicode.Scalar(value) != nil else { throw error("bad escape \\\(letter)") }
    return value
  }

  /// The inside of `[`…`]`.
  mutating func characterClass() throws(RegexError) -> RegexNode {
    let start = position
    let isNegative = take("^")
    var set = ScalarSet()
    var isFirst = true
    while true {
      guard let scalar = next else {
        position = start
        throw error("unterminated character set")
      }
      position += 1
      if scalar == "]", !isFirst { break }
      isFirst = false
      let item = try classItem(scalar)
      guard next == "-" else {
        item.add(to: &set)
        continue
      }
      position += 1
      guard let last = next else { continue }
      if last == "]" {
        item.add(to: &set)
        set.insert(0x2d...0x2d)
        continue
      }
      position += 1
      guard case .scalar(let low) = item, case .scalar(let high) = try classItem(last),
        low <= high
      else { throw error("bad character range") }
      set.insert(low...high)
    }
    if flags.contains(.ignoreCase) { set = cases(of: set) }
    if isNegative { set = set.inverted }
    return set.only.map { .scalar($0) } ?? .set(set)
  }

  /// What stands in a class: one scalar, or the set of an escape.
  private enum ClassItem {
    case scalar(UInt32)
    case set(ScalarSet)

    func add(to set: inout ScalarSet) {
      switch self {
      case .scalar(let scalar): set.insert(scalar...scalar)
      case .set(let other): set.formUnion(other)
      }
    }
  }

  private mutating func classItem(_ scalar: Unicode.Scalar) throws(RegexError) -> ClassItem {
    guard scalar == "\\" else { return .scalar(scalar.value) }
    guard let letter = next else { throw error("bad escape (end of pattern)") }
    position += 1
    if let set = category(letter) { return .set(set) }
    if letter == "b" { return .scalar(0x08) }
    if Self.isDigit(letter) {
      guard let value = octal(first: letter, digits: 3, exactly: false) else {
        throw error("bad escape \\\(letter)")
      }
      if value > 0o377 { throw error("octal escape value outside of range 0-0o377") }
      return .scalar(value)
    }
    return .scalar(try character(letter))
  }

  /// Letters whose only common case is several letters long.
  private static let sameFolding: [(UInt32, UInt32)] = [
    (0x390, 0x1fd3), (0x3b0, 0x1fe3), (0xfb05, 0xfb06),
  ]

  /// The set with every other case of its members: of ASCII's letters alone under `(?a)`.
  package func cases(of set: ScalarSet) -> ScalarSet {
    var result = set
    guard flags.contains(.ascii) else {
      // Python takes the dotted capital I for an i too.
      if set.contains(0x130) { result.insert(0x69...0x69) }
      result = CaseFolding.closure(of: result)
      if result.contains(0x69) { result.insert(0x130...0x130) }
      for (one, other) in Self.sameFolding {
        if result.contains(one) || result.contains(other) {
          result.insert(one...one)
          result.insert(other...other)
        }
      }
      return result
    }
    for letter in UInt32(0x41)...0x5a {
      if set.contains(letter) { result.insert((letter + 32)...(letter + 32)) }
      if set.contains(letter + 32) { result.insert(letter...letter) }
    }
    return result
  }
}
