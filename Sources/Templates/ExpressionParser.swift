/// Reads expressions from the tokens of one tag, with Jinja's precedence.
struct ExpressionParser {
  let template: String
  private let tokens: [Token]
  private var position = 0
  /// Expressions around the one that is being read.
  private var depth = 0

  /// Expressions inside each other, and operators in a row: a tree of both is walked over by
  /// recursion.
  private static let depthLimit = 100
  private static let chainLimit = 128

  init(_ tokens: [Token], template: String) {
    self.tokens = tokens
    self.template = template
  }

  // MARK: Tokens

  var current: Token { tokens[position] }
  var line: Int { current.line }

  mutating func next() -> Token {
    defer { if position + 1 < tokens.count { position += 1 } }
    return tokens[position]
  }

  func isName(_ name: String) -> Bool { current.kind == .name(name) }
  func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }
  var isAtEnd: Bool { current.kind == .end }

  mutating func skipName(_ name: String) -> Bool {
    if isName(name) { position += 1 } else { return false }
    return true
  }

  mutating func skipSymbol(_ symbol: String) -> Bool {
    if isSymbol(symbol) { position += 1 } else { return false }
    return true
  }

  mutating func expect(_ symbol: String) throws(TemplateError) {
    if !skipSymbol(symbol) { throw unexpected("'\(symbol)'") }
  }

  mutating func expectEnd() throws(TemplateError) {
    if !isAtEnd { throw unexpected("the end of the tag") }
  }

  mutating func name() throws(TemplateError) -> String {
    guard case .name(let name) = current.kind else { throw unexpected("a name") }
    position += 1
    return name
  }

  func unexpected(_ expected: String) -> TemplateError {
    let found =
      switch current.kind {
      case .name(let name): "'\(name)'"
      case .string(let text): "the string '\(text)'"
      case .integer(let value): "\(value)"
      case .double(let value): "\(value)"
      case .symbol(let symbol): "'\(symbol)'"
      case .end: "the end of the tag"
      }
    return .syntax(template: template, line: line, problem: "found \(found), expected \(expected)")
  }

  // MARK: Expressions, loosest first

  /// Goes a level deeper; the caller goes back by `depth -= 1`.
  private mutating func enter() throws(TemplateError) {
    depth += 1
    if depth > Self.depthLimit {
      throw .syntax(
        template: template, line: line,
        problem: "expressions are nested deeper than \(Self.depthLimit)")
    }
  }

  private func lengthen(_ chain: inout Int) throws(TemplateError) {
    chain += 1
    if chain > Self.chainLimit {
      throw .syntax(
        template: template, line: line,
        problem: "more than \(Self.chainLimit) operators stand in a row")
    }
  }

  /// An expression; without `condition`, `a if b else c` is not taken.
  mutating func expression(condition: Bool = true) throws(TemplateError) -> Expression {
    try enter()
    defer { depth -= 1 }
    return condition ? try conditional() : try disjunction()
  }

  private mutating func conditional() throws(TemplateError) -> Expression {
    let line = line
    var value = try disjunction()
    var chain = 0
    while skipName("if") {
      try lengthen(&chain)
      let test = try disjunction()
      let otherwise = skipName("else") ? try expression() : nil
      value = Expression(line: line, kind: .condition(test, then: value, otherwise: otherwise))
    }
    return value
  }

  private mutating func disjunction() throws(TemplateError) -> Expression {
    var left = try conjunction()
    var chain = 0
    while isName("or") {
      try lengthen(&chain)
      let line = next().line
      left = Expression(line: line, kind: .or(left, try conjunction()))
    }
    return left
  }

  private mutating func conjunction() throws(TemplateError) -> Expression {
    var left = try negation()
    var chain = 0
    while isName("and") {
      try lengthen(&chain)
      let line = next().line
      left = Expression(line: line, kind: .and(left, try negation()))
    }
    return left
  }

  private mutating func negation() throws(TemplateError) -> Expression {
    guard isName("not") else { return try comparison() }
    let line = next().line
    try enter()
    defer { depth -= 1 }
    return Expression(line: line, kind: .not(try negation()))
  }

  private mutating func comparison() throws(TemplateError) -> Expression {
    let line = line
    let left = try sum()
    var operands: [(operation: String, operand: Expression)] = []
    while true {
      if case .symbol(let symbol) = current.kind,
        ["==", "!=", "<", "<=", ">", ">="].contains(symbol)
      {
        position += 1
        operands.append((symbol, try sum()))
      } else if skipName("in") {
        operands.append(("in", try sum()))
      } else if isName("not"), tokens[position + 1].kind == .name("in") {
        position += 2
        operands.append(("not in", try sum()))
      } else {
        break
      }
    }
    return operands.isEmpty ? left : Expression(line: line, kind: .comparison(left, operands))
  }

  private mutating func sum() throws(TemplateError) -> Expression {
    var left = try concatenation()
    var chain = 0
    while case .symbol(let symbol) = current.kind, symbol == "+" || symbol == "-" {
      try lengthen(&chain)
      let line = next().line
      left = Expression(line: line, kind: .arithmetic(symbol, left, try concatenation()))
    }
    return left
  }

  private mutating func concatenation() throws(TemplateError) -> Expression {
    let line = line
    var parts = [try product()]
    while skipSymbol("~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : Expression(line: line, kind: .concatenation(parts))
  }

  private mutating func product() throws(TemplateError) -> Expression {
    var left = try power()
    var chain = 0
    while case .symbol(let symbol) = current.kind, ["*", "/", "//", "%"].contains(symbol) {
      try lengthen(&chain)
      let line = next().line
      left = Expression(line: line, kind: .arithmetic(symbol, left, try power()))
    }
    return left
  }

  private mutating func power() throws(TemplateError) -> Expression {
    var left = try unary()
    var chain = 0
    while isSymbol("**") {
      try lengthen(&chain)
      let line = next().line
      left = Expression(line: line, kind: .arithmetic("**", left, try unary()))
    }
    return left
  }

  private mutating func unary(withFilters: Bool = true) throws(TemplateError) -> Expression {
    let line = line
    try enter()
    defer { depth -= 1 }
    var value: Expression
    if skipSymbol("-") {
      value = Expression(line: line, kind: .negative(try unary(withFilters: false)))
    } else if skipSymbol("+") {
      value = Expression(line: line, kind: .positive(try unary(withFilters: false)))
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return withFilters ? try filters(value) : value
  }

  private mutating func primary() throws(TemplateError) -> Expression {
    let token = current
    let kind: Expression.Kind
    switch token.kind {
    case .name(let name):
      position += 1
      switch name {
      case "true", "True": kind = .constant(.bool(true))
      case "false", "False": kind = .constant(.bool(false))
      case "none", "None": kind = .constant(.none)
      default: kind = .name(name)
      }
    case .string(var text):
      position += 1
      while case .string(let more) = current.kind {
        position += 1
        text += more
      }
      kind = .constant(.string(text))
    case .integer(let value):
      position += 1
      kind = .constant(.integer(value))
    case .double(let value):
      position += 1
      kind = .constant(.double(value))
    case .symbol("("):
      position += 1
      let value = try tuple(isParenthesized: true)
      try expect(")")
      return value
    case .symbol("["):
      position += 1
      kind = .list(try elements(until: "]"))
    case .symbol("{"):
      position += 1
      kind = .dictionary(try members())
    default: throw unexpected("a value")
    }
    return Expression(line: token.line, kind: kind)
  }

  /// One expression, or several with commas between them as a tuple.
  mutating func tuple(
    condition: Bool = true, isParenthesized: Bool = false
  ) throws(TemplateError) -> Expression {
    let line = line
    var parts: [Expression] = []
    var isTuple = false
    while true {
      if isAtEnd || isSymbol(")") { break }
      parts.append(try expression(condition: condition))
      guard skipSymbol(",") else { break }
      isTuple = true
    }
    if !isTuple, let first = parts.first { return first }
    if parts.isEmpty, !isParenthesized { throw unexpected("an expression") }
    return Expression(line: line, kind: .tuple(parts))
  }

  private mutating func elements(until close: String) throws(TemplateError) -> [Expression] {
    var elements: [Expression] = []
    while !skipSymbol(close) {
      if !elements.isEmpty {
        try expect(",")
        if skipSymbol(close) { break }
      }
      elements.append(try expression())
    }
    return elements
  }

  private mutating func members() throws(TemplateError) -> [(key: Expression, value: Expression)] {
    var members: [(key: Expression, value: Expression)] = []
    while !skipSymbol("}") {
      if !members.isEmpty {
        try expect(",")
        if skipSymbol("}") { break }
      }
      let key = try expression()
      try expect(":")
      members.append((key, try expression()))
    }
    return members
  }

  // MARK: What follows a value

  private mutating func postfix(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    var chain = 0
    while true {
      try lengthen(&chain)
      let line = line
      if skipSymbol(".") {
        if case .integer(let index) = current.kind {
          position += 1
          let key = Expression(line: line, kind: .constant(.integer(index)))
          value = Expression(line: line, kind: .item(value, key))
        } else {
          value = Expression(line: line, kind: .attribute(value, try name()))
        }
      } else if skipSymbol("[") {
        value = try subscripted(value, line)
      } else if isSymbol("(") {
        if case .attribute(_, let name) = value.kind, !Method.names.contains(name) {
          throw .unsupported(template: template, line: line, part: "method", name: name)
        }
        value = Expression(line: line, kind: .call(value, try arguments()))
      } else {
        return value
      }
    }
  }

  private mutating func subscripted(
    _ value: Expression, _ line: Int
  ) throws(TemplateError) -> Expression {
    var parts: [Expression?] = [nil]
    var isSlice = false
    while !skipSymbol("]") {
      if skipSymbol(":") {
        isSlice = true
        parts.append(nil)
      } else if parts[parts.count - 1] == nil {
        parts[parts.count - 1] = try expression()
      } else {
        throw unexpected("']'")
      }
    }
    if isSlice, parts.count <= 3 {
      return Expression(
        line: line,
        kind: .slice(
          value, from: parts[0], to: parts[1], by: parts.count > 2 ? parts[2] : nil))
    }
    guard let key = parts[0], parts.count == 1 else { throw unexpected("an index or a slice") }
    return Expression(line: line, kind: .item(value, key))
  }

  mutating func arguments() throws(TemplateError) -> Arguments {
    var result = Arguments()
    try expect("(")
    while !skipSymbol(")") {
      if !result.isEmpty {
        try expect(",")
        if skipSymbol(")") { break }
      }
      if result.spreadNamed != nil { throw unexpected("')'") }
      if result.spread == nil, skipSymbol("*") {
        result.spread = try expression()
      } else if skipSymbol("**") {
        result.spreadNamed = try expression()
      } else if case .name(let name) = current.kind, tokens[position + 1].kind == .symbol("=") {
        position += 2
        result.named.append((name, try expression()))
      } else if result.named.isEmpty && result.spread == nil {
        result.positional.append(try expression())
      } else {
        throw unexpected("a named argument")
      }
    }
    return result
  }

  /// `| filter`, `is test` and calls behind them.
  private mutating func filters(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    var chain = 0
    while true {
      try lengthen(&chain)
      let line = line
      if isSymbol("|") {
        value = try filter(value)
      } else if skipName("is") {
        value = try test(value, line)
      } else if isSymbol("(") {
        value = Expression(line: line, kind: .call(value, try arguments()))
      } else {
        return value
      }
    }
  }

  /// `| name` or `| name(arguments)`, as often as it comes.
  mutating func filter(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    var chain = 0
    while skipSymbol("|") {
      try lengthen(&chain)
      let line = line
      value = try namedFilter(value, line)
    }
    return value
  }

  /// A filter's name and arguments.
  mutating func namedFilter(
    _ value: Expression, _ line: Int
  ) throws(TemplateError) -> Expression {
    let name = try name()
    guard Filter.names.contains(name) else {
      throw .unsupported(template: template, line: line, part: "filter", name: name)
    }
    let arguments = isSymbol("(") ? try arguments() : Arguments()
    return Expression(line: line, kind: .filter(value, name, arguments))
  }

  private mutating func test(_ value: Expression, _ line: Int) throws(TemplateError) -> Expression {
    let isNegated = skipName("not")
    let name = try name()
    guard ValueTest.names.contains(name) else {
      throw .unsupported(template: template, line: line, part: "test", name: name)
    }
    var arguments = Arguments()
    switch current.kind {
    case .symbol("("): arguments = try self.arguments()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"): throw unexpected("no second 'is'")
    case .name, .string, .integer, .double, .symbol("["), .symbol("{"):
      arguments.positional = [try postfix(try primary())]
    default: break
    }
    let test = Expression(line: line, kind: .test(value, name, arguments))
    return isNegated ? Expression(line: line, kind: .not(test)) : test
  }
}
