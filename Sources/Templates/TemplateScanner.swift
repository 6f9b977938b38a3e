/// A token inside `{{ … }}` or `{% … %}`.
struct Token: Equatable {
  enum Kind: Equatable {
    case name(String)
    case string(String)
    case integer(Int)
    case double(Double)
    case symbol(String)
    case end
  }

  var kind: Kind
  var line: Int
}

/// A piece of a template: text as it is, an expression to print, or a statement.
enum TemplatePiece {
  case text(String)
  case print([Token])
  case statement([Token])
}

/// Cuts a template into text and tags as Jinja's lexer does with `trim_blocks` and `lstrip_blocks`.
///
/// The newline after a statement's or comment's end goes, and so do blanks between the start of a
/// line and a statement or comment, unless the tag has `+` there; `-` takes all white space.
struct TemplateScanner {
  private let template: String
  private let text: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  /// Whether the last tag took a newline with it, so that what follows starts a line.
  private var startsLine = true
  private var pieces: [TemplatePiece] = []

  init(_ source: String, template: String) {
    self.template = template
    var scalars: [Unicode.Scalar] = []
    for scalar in source.unicodeScalars {
      if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
      scalars.append(scalar)
    }
    // A lone carriage return is a newline too.
    text = scalars.map { $0 == "\r" ? "\n" : $0 }
  }

  /// All pieces, in order.
  mutating func scan() throws(TemplateError) -> [TemplatePiece] {
    // One newline at the end of the whole template is not part of it.
    let end = text.last == "\n" ? text.count - 1 : text.count
    while position < end {
      guard let tag = nextTag(before: end) else {
        add(text[position..<end])
        break
      }
      let kind = text[tag + 1]
      var sign: Unicode.Scalar?
      var inner = tag + 2
      if inner < text.count, text[inner] == "-" || text[inner] == "+" {
        // In front of an expression a plus is an operator; Jinja takes it as the sign all the same.
        sign = text[inner]
        inner += 1
      }
      addBefore(tag, sign: sign, isPrint: kind == "{")
      advance(to: inner)
      switch kind {
      case "#": try skipComment()
      case "{": pieces.append(.print(try tokens(closing: "}")))
      default:
        if let body = rawStart(inner) {
          advance(to: body)
          try raw()
        } else {
          pieces.append(.statement(try tokens(closing: "%")))
        }
      }
    }
    return pieces
  }

  private func nextTag(before end: Int) -> Int? {
    var index = position
    while index + 1 < end {
      if text[index] == "{", ["{", "%", "#"].contains(text[index + 1]) { return index }
      index += 1
    }
    return nil
  }

  /// Adds the text up to a tag, stripped as the tag asks.
  private mutating func addBefore(_ tag: Int, sign: Unicode.Scalar?, isPrint: Bool) {
    var end = tag
    if sign == "-" {
      while end > position, PythonText.isSpace(text[end - 1]) { end -= 1 }
    } else if sign != "+", !isPrint {
      var start = tag
      while start > position, text[start - 1] != "\n" { start -= 1 }
      let isAtLineStart = start > position || startsLine
      if isAtLineStart, text[start..<tag].allSatisfy(PythonText.isSpace) { end = start }
    }
    add(text[position..<end])
  }

  private mutating func add(_ scalars: ArraySlice<Unicode.Scalar>) {
    if scalars.isEmpty { return }
    pieces.append(.text(PythonText.string(scalars)))
  }

  private mutating func advance(to target: Int) {
    for scalar in text[position..<target] where scalar == "\n" { line += 1 }
    position = target
  }

  /// Where the end of a tag, with the white space that goes with it, ends; nil where none is here.
  private func tagEnd(at start: Int, _ mark: Unicode.Scalar) -> Int? {
    var index = start
    let sign = text[index]
    if sign == "-" || (sign == "+" && mark != "}") { index += 1 }
    guard index + 1 < text.count, text[index] == mark, text[index + 1] == "}" else { return nil }
    index += 2
    if sign == "-" {
      while index < text.count, PythonText.isSpace(text[index]) { index += 1 }
    } else if sign != "+", mark != "}", index < text.count, text[index] == "\n" {
      index += 1
    }
    return index
  }

  private mutating func finishTag(at end: Int) {
    startsLine = text[end - 1] == "\n"
    advance(to: end)
  }

  private mutating func skipComment() throws(TemplateError) {
    var index = position
    while index < text.count {
      if let end = tagEnd(at: index, "#") { return finishTag(at: end) }
      index += 1
    }
    throw .syntax(template: template, line: line, problem: "a comment is not closed with '#}'")
  }

  private func word(_ expected: String, at start: Int) -> Int? {
    var index = start
    while index < text.count, PythonText.isSpace(text[index]) { index += 1 }
    for scalar in expected.unicodeScalars {
      guard index < text.count, text[index] == scalar else { return nil }
      index += 1
    }
    while index < text.count, PythonText.isSpace(text[index]) { index += 1 }
    return index
  }

  /// Where the text of a raw block starts; a raw block's start takes no newline with it.
  private func rawStart(_ inner: Int) -> Int? {
    guard let index = word("raw", at: inner), index < text.count else { return nil }
    if text[index] == "-" { return tagEnd(at: index, "%") }
    guard index + 1 < text.count, text[index] == "%", text[index + 1] == "}" else { return nil }
    return index + 2
  }

  private mutating func raw() throws(TemplateError) {
    var index = position
    startsLine = false
    while index + 1 < text.count {
      if text[index] == "{", text[index + 1] == "%" {
        var inner = index + 2
        var sign: Unicode.Scalar?
        if inner < text.count, text[inner] == "-" || text[inner] == "+" {
          sign = text[inner]
          inner += 1
        }
        if let close = word("endraw", at: inner), close < text.count,
          let end = tagEnd(at: close, "%")
        {
          addBefore(index, sign: sign, isPrint: false)
          return finishTag(at: end)
        }
      }
      index += 1
    }
    throw .syntax(template: template, line: line, problem: "'{% raw %}' is never closed")
  }

  // MARK: Tokens

  private static let symbols = [
    "==", "!=", ">=", "<=", "//", "**", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
  ].map { Array($0.unicodeScalars) }

  private mutating func tokens(closing mark: Unicode.Scalar) throws(TemplateError) -> [Token] {
    var tokens: [Token] = []
    var open: [Unicode.Scalar] = []
    let start = line
    while position < text.count {
      if open.isEmpty, let end = tagEnd(at: position, mark) {
        tokens.append(Token(kind: .end, line: line))
        finishTag(at: end)
        return tokens
      }
      let scalar = text[position]
      if PythonText.isSpace(scalar) {
        advance(to: position + 1)
      } else if scalar == "'" || scalar == "\"" {
        let line = line
        tokens.append(Token(kind: .string(try string(scalar)), line: line))
      } else if scalar.properties.numericType == .decimal {
        tokens.append(Token(kind: try number(), line: line))
      } else if scalar == "_" || scalar.properties.isXIDStart {
        let first = position
        while position < text.count, text[position].properties.isXIDContinue { position += 1 }
        tokens.append(
          Token(kind: .name(PythonText.string(text[first..<position])), line: line))
      } else {
        tokens.append(Token(kind: .symbol(try symbol(&open)), line: line))
      }
    }
    throw .syntax(
      template: template, line: start,
      problem: "'{\(mark == "}" ? "{" : "%")' is not closed with '\(mark)}'")
  }

  private mutating func symbol(_ open: inout [Unicode.Scalar]) throws(TemplateError) -> String {
    let rest = text[position...]
    guard let symbol = Self.symbols.first(where: { rest.starts(with: $0) }) else {
      throw .syntax(
        template: template, line: line, problem: "the character '\(text[position])' is not Jinja's")
    }
    let pairs: [Unicode.Scalar: Unicode.Scalar] = ["(": ")", "[": "]", "{": "}"]
    if let close = pairs[symbol[0]] {
      open.append(close)
    } else if [")", "]", "}"].contains(symbol[0]) {
      guard open.popLast() == symbol[0] else {
        throw .syntax(
          template: template, line: line, problem: "'\(symbol[0])' closes what was not opened")
      }
    }
    position += symbol.count
    return PythonText.string(symbol[...])
  }

  private mutating func number() throws(TemplateError) -> Token.Kind {
    let first = position
    var isDouble = false
    func isDigit(_ index: Int) -> Bool {
      index < text.count && ("0"..."9").contains(text[index])
    }
    func skipDigits(_ index: inout Int) {
      while isDigit(index) || (index < text.count && text[index] == "_") { index += 1 }
    }
    var index = position
    skipDigits(&index)
    if index < text.count, text[index] == ".", isDigit(index + 1) {
      isDouble = true
      index += 1
      skipDigits(&index)
    }
    if index < text.count, text[index] == "e" || text[index] == "E" {
      var exponent = index + 1
      if exponent < text.count, text[exponent] == "+" || text[exponent] == "-" { exponent += 1 }
      if isDigit(exponent) {
        isDouble = true
        skipDigits(&exponent)
        index = exponent
      }
    }
    position = index
    let digits = PythonText.string(text[first..<index]).replacing("_", with: "")
    if !isDouble, let value = Int(digits) { return .integer(value) }
    if isDouble, let value = Double(digits) { return .double(value) }
    throw .syntax(template: template, line: line, problem: "'\(digits)' is not a number")
  }

  private mutating func string(_ quote: Unicode.Scalar) throws(TemplateError) -> String {
    var result = String.UnicodeScalarView()
    let start = line
    position += 1
    while position < text.count {
      let scalar = text[position]
      if scalar == quote {
        position += 1
        return String(result)
      }
      if scalar == "\\", position + 1 < text.count {
        try escape(into: &result)
      } else {
        result.append(scalar)
        advance(to: position + 1)
      }
    }
    throw .syntax(template: template, line: start, problem: "a string is not closed with \(quote)")
  }

  /// Python's escapes.
  private mutating func escape(
    into result: inout String.UnicodeScalarView
  ) throws(TemplateError) {
    let letter = text[position + 1]
    let simple: [Unicode.Scalar: Unicode.Scalar] = [
      "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"", "0": "\0", "a": "\u{7}",
      "b": "\u{8}", "f": "\u{c}", "v": "\u{b}",
    ]
    let lengths: [Unicode.Scalar: Int] = ["x": 2, "u": 4, "U": 8]
    if let length = lengths[letter] {
      let end = min(position + 2 + length, text.count)
      guard let code = UInt32(PythonText.string(text[(position + 2)..<end]), radix: 16),
        let scalar = Unicode.Scalar(code)
      else {
        throw .syntax(template: template, line: line, problem: "a string has a bad escape")
      }
      result.append(scalar)
      position = end
    } else if letter == "N" || ("1"..."7").contains(letter) {
      throw .unsupported(template: template, line: line, part: "escape", name: "\\\(letter)")
    } else if letter == "\n" {
      advance(to: position + 2)
    } else {
      if let scalar = simple[letter] {
        result.append(scalar)
      } else {
        result.append("\\")
        result.append(letter)
      }
      position += 2
    }
  }
}
