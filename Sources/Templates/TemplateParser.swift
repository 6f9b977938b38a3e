/// Reads the statements of a template.
struct TemplateParser {
  private let template: String
  private let pieces: [TemplatePiece]
  private var position = 0
  /// Loops around the statement that is being read: `break` needs one.
  private var loopDepth = 0
  /// Blocks around the statement that is being read, and targets around a target.
  private var depth = 0

  /// Python, which Jinja makes of a template, takes 20 loops inside each other.
  private static let depthLimit = 50

  init(_ pieces: [TemplatePiece], template: String) {
    self.pieces = pieces
    self.template = template
  }

  /// The whole template.
  mutating func statements() throws(TemplateError) -> [Statement] {
    let (body, _) = try statements(until: [], openedBy: "", 0)
    return body
  }

  /// Statements up to one of the words in `ends`, whose tag is given behind its word.
  private mutating func statements(
    until ends: [String], openedBy opener: String, _ openLine: Int
  ) throws(TemplateError) -> ([Statement], end: (word: String, rest: ExpressionParser)) {
    depth += 1
    defer { depth -= 1 }
    try checkDepth(openLine)
    var body: [Statement] = []
    while position < pieces.count {
      let piece = pieces[position]
      position += 1
      switch piece {
      case .text(let text): body.append(Statement(line: 0, kind: .text(text)))
      case .print(let tokens):
        var parser = ExpressionParser(tokens, template: template)
        let line = parser.line
        let value = try parser.tuple()
        try parser.expectEnd()
        body.append(Statement(line: line, kind: .print(value)))
      case .statement(let tokens):
        var parser = ExpressionParser(tokens, template: template)
        let line = parser.line
        let word = try parser.name()
        if ends.contains(word) { return (body, (word, parser)) }
        body.append(
          Statement(line: line, kind: try statement(word, line, &parser)))
      }
    }
    guard ends.isEmpty else {
      throw .syntax(
        template: template, line: openLine, problem: "'\(opener)' is never closed with '\(ends[0])'"
      )
    }
    return (body, ("", ExpressionParser([Token(kind: .end, line: 0)], template: template)))
  }

  private func checkDepth(_ line: Int) throws(TemplateError) {
    if depth > Self.depthLimit {
      throw .syntax(
        template: template, line: line, problem: "blocks are nested deeper than \(Self.depthLimit)")
    }
  }

  /// The body of a block, up to its one end.
  private mutating func body(_ opener: String, _ line: Int) throws(TemplateError) -> [Statement] {
    var (body, end) = try statements(until: ["end" + opener], openedBy: opener, line)
    // A name may be repeated there: `endmacro render`.
    if opener == "macro", !end.rest.isAtEnd { _ = end.rest.next() }
    try end.rest.expectEnd()
    return body
  }

  private mutating func statement(
    _ word: String, _ line: Int, _ parser: inout ExpressionParser
  ) throws(TemplateError) -> Statement.Kind {
    switch word {
    case "for": return try loop(line, &parser)
    case "if": return try condition(line, &parser)
    case "set": return try set(line, &parser)
    case "macro":
      let name = try parser.name()
      var syntax = MacroSyntax(name: name, parameters: try parameters(&parser), body: [])
      try parser.expectEnd()
      syntax.body = try functionBody("macro", line)
      return .macro(syntax)
    case "call":
      let parameters = parser.isSymbol("(") ? try parameters(&parser) : []
      let call = try parser.expression()
      guard case .call = call.kind else { throw parser.unexpected("a call") }
      try parser.expectEnd()
      let body = try functionBody("call", line)
      return .call(call, caller: MacroSyntax(name: "caller", parameters: parameters, body: body))
    case "filter":
      let captured = Expression(line: line, kind: .captured)
      let filter = try parser.filter(try parser.namedFilter(captured, line))
      try parser.expectEnd()
      return .filter(try body("filter", line), filter)
    case "with": return try with(line, &parser)
    case "generation":
      try parser.expectEnd()
      return .generation(try body("generation", line))
    case "break", "continue":
      try parser.expectEnd()
      guard loopDepth > 0 else {
        throw .syntax(template: template, line: line, problem: "'\(word)' outside a loop")
      }
      return word == "break" ? .breakLoop : .continueLoop
    default:
      throw .unsupported(template: template, line: line, part: "statement", name: word)
    }
  }

  /// A macro's body: a loop around it is not one for its `break`.
  private mutating func functionBody(
    _ opener: String, _ line: Int
  ) throws(TemplateError) -> [Statement] {
    let depth = loopDepth
    loopDepth = 0
    defer { loopDepth = depth }
    return try body(opener, line)
  }

  private mutating func loop(
    _ line: Int, _ parser: inout ExpressionParser
  ) throws(TemplateError) -> Statement.Kind {
    let target = try self.target(&parser)
    guard parser.skipName("in") else { throw parser.unexpected("'in'") }
    let list = try parser.tuple(condition: false)
    let filter = parser.skipName("if") ? try parser.expression() : nil
    if parser.isName("recursive") {
      throw .unsupported(template: template, line: line, part: "loop", name: "recursive")
    }
    try parser.expectEnd()
    loopDepth += 1
    defer { loopDepth -= 1 }
    var (body, end) = try statements(until: ["endfor", "else"], openedBy: "for", line)
    try end.rest.expectEnd()
    var otherwise: [Statement] = []
    if end.word == "else" { otherwise = try self.body("for", line) }
    return .loop(target, over: list, filter: filter, body: body, otherwise: otherwise)
  }

  private mutating func condition(
    _ line: Int, _ parser: inout ExpressionParser
  ) throws(TemplateError) -> Statement.Kind {
    var branches: [(condition: Expression?, body: [Statement])] = []
    var test: Expression? = try parser.tuple(condition: false)
    try parser.expectEnd()
    while true {
      let ends = test == nil ? ["endif"] : ["endif", "elif", "else"]
      var (body, end) = try statements(until: ends, openedBy: "if", line)
      branches.append((test, body))
      switch end.word {
      case "elif": test = try end.rest.tuple(condition: false)
      case "else": test = nil
      default:
        try end.rest.expectEnd()
        return .condition(branches)
      }
      try end.rest.expectEnd()
    }
  }

  private mutating func set(
    _ line: Int, _ parser: inout ExpressionParser
  ) throws(TemplateError) -> Statement.Kind {
    let target = try self.target(&parser)
    if parser.skipSymbol("=") {
      let value = try parser.tuple()
      try parser.expectEnd()
      return .set(target, value)
    }
    let value = try parser.filter(Expression(line: line, kind: .captured))
    try parser.expectEnd()
    return .setBlock(target, body: try body("set", line), value)
  }

  private mutating func with(
    _ line: Int, _ parser: inout ExpressionParser
  ) throws(TemplateError) -> Statement.Kind {
    var values: [(Target, Expression)] = []
    while !parser.isAtEnd {
      if !values.isEmpty { try parser.expect(",") }
      let target = Target.name(try parser.name())
      try parser.expect("=")
      values.append((target, try parser.expression()))
    }
    return .with(values, try body("with", line))
  }

  private mutating func target(
    _ parser: inout ExpressionParser
  ) throws(TemplateError) -> Target {
    depth += 1
    defer { depth -= 1 }
    try checkDepth(parser.line)
    var targets: [Target] = []
    var isTuple = false
    while true {
      if parser.skipSymbol("(") {
        targets.append(try target(&parser))
        try parser.expect(")")
      } else {
        let name = try parser.name()
        if parser.skipSymbol(".") {
          targets.append(.attribute(object: name, name: try parser.name()))
        } else {
          targets.append(.name(name))
        }
      }
      guard parser.skipSymbol(",") else { break }
      isTuple = true
      if parser.isName("in") || parser.isSymbol("=") || parser.isSymbol(")") { break }
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private func parameters(
    _ parser: inout ExpressionParser
  ) throws(TemplateError) -> [(name: String, defaultValue: Expression?)] {
    var parameters: [(name: String, defaultValue: Expression?)] = []
    try parser.expect("(")
    while !parser.skipSymbol(")") {
      if !parameters.isEmpty { try parser.expect(",") }
      let name = try parser.name()
      parameters.append((name, parser.skipSymbol("=") ? try parser.expression() : nil))
    }
    return parameters
  }
}
