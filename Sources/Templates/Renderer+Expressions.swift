extension Renderer {
  /// The value of an expression.
  ///
  /// - Parameters:
  ///   - captured: the text of the block whose filter this is.
  ///   - caller: the body of the `call` block whose call this is.
  func evaluate(
    _ expression: Expression, _ scope: Scope, captured: String? = nil, caller: Value.Macro? = nil
  ) throws(TemplateError) -> Value {
    let line = expression.line
    try budget.spend(line)
    switch expression.kind {
    case .constant(let constant): return Value(constant)
    case .captured, .name: break
    default:
      try budget.enter(line)
      defer { budget.leave() }
      let value = try compound(expression, scope, captured: captured, caller: caller)
      try budget.take(line, value)
      return value
    }
    switch expression.kind {
    case .captured: return .string(captured ?? "")
    case .name(let name):
      if let value = scope[name] { return value }
      return Self.functions.contains(name) ? .function(name) : .undefined("'\(name)'")
    default: preconditionFailure("an expression that compound(_:_:) takes")
    }
  }

  /// The value of an expression that has parts.
  private func compound(
    _ expression: Expression, _ scope: Scope, captured: String?, caller: Value.Macro?
  ) throws(TemplateError) -> Value {
    let line = expression.line
    switch expression.kind {
    case .list(let elements): return try weighed(.list(try values(elements, scope)), line)
    case .tuple(let elements): return try weighed(.tuple(try values(elements, scope)), line)
    case .dictionary(let members): return try dictionary(members, scope, line)
    case .attribute(let object, let name):
      let value = try evaluate(object, scope)
      guard let found = Lookup.attribute(name, of: value) else {
        throw undefined(value, line, "has no '\(name)'")
      }
      return found
    case .item(let object, let key):
      let value = try evaluate(object, scope)
      let index = try evaluate(key, scope)
      guard let found = Lookup.item(index, of: value) else {
        throw undefined(value, line, "has no item \(index.representation)")
      }
      return found
    case .slice(let object, let from, let to, let step):
      let value = try evaluate(object, scope)
      try budget.spend(line, Budget.work(value))
      guard
        let part = value.slice(
          from: try optional(from, scope), to: try optional(to, scope),
          by: try optional(step, scope))
      else { throw failure(line, "\(value.typeName) cannot be sliced so") }
      return part
    case .call(let callee, let arguments):
      let function = try evaluate(callee, scope)
      let call = try self.arguments(arguments, scope, line, name(of: callee))
      return try self.call(function, call, caller: caller)
    case .filter(let object, let name, let arguments):
      let value = try evaluate(object, scope, captured: captured)
      return try filter(name, value, try self.arguments(arguments, scope, line, "'\(name)'"))
    case .test(let object, let name, let arguments):
      let value = try evaluate(object, scope)
      let given = try self.arguments(arguments, scope, line, "'\(name)'")
      for other in given.positional { try allowComparison(value, other, line) }
      return .bool(try ValueTest.apply(name, value, given))
    default: return try operation(expression, scope)
    }
  }

  private func operation(_ expression: Expression, _ scope: Scope) throws(TemplateError) -> Value {
    let line = expression.line
    switch expression.kind {
    case .not(let operand): return .bool(!(try evaluate(operand, scope).isTrue))
    case .and(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? try evaluate(right, scope) : value
    case .or(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? value : try evaluate(right, scope)
    case .negative(let operand):
      return try arithmetic("-", .integer(0), try evaluate(operand, scope), line)
    case .positive(let operand):
      return try arithmetic("+", .integer(0), try evaluate(operand, scope), line)
    case .arithmetic(let sign, let left, let right):
      return try arithmetic(sign, try evaluate(left, scope), try evaluate(right, scope), line)
    case .comparison(let first, let operands):
      var left = try evaluate(first, scope)
      for (sign, operand) in operands {
        let right = try evaluate(operand, scope)
        try allowComparison(left, right, line)
        guard let holds = Value.compare(sign, left, right) else {
          throw failure(
            line, "\(left.typeName) and \(right.typeName) cannot be compared by '\(sign)'")
        }
        if !holds { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .concatenation(let parts):
      let parts = try values(parts, scope)
      try budget.allowText(line, parts.reduce(0) { Budget.saturated($0, Budget.written($1)) })
      return .string(parts.map(\.text).joined())
    case .condition(let test, let then, let otherwise):
      if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
      return try optional(otherwise, scope) ?? .undefined("an 'if' without 'else'")
    default: preconditionFailure("an expression that evaluate(_:_:) takes itself")
    }
  }

  private func arithmetic(
    _ sign: String, _ left: Value, _ right: Value, _ line: Int
  ) throws(TemplateError) -> Value {
    if sign == "*", let count = left.integer ?? right.integer {
      let value = left.integer == nil ? left : right
      let size = value.string?.utf8.count ?? 16 * (value.items?.count ?? 0)
      try budget.allowText(line, Budget.product(max(count, 0), size))
    }
    guard let result = Value.arithmetic(sign, left, right) else {
      for case .undefined(let what) in [left, right] {
        throw failure(line, "\(what) is undefined and stands beside '\(sign)'")
      }
      throw failure(line, "\(left.typeName) \(sign) \(right.typeName) cannot be computed")
    }
    return result.string == nil ? try weighed(result, line) : result
  }

  /// A value of values that is not beyond measure.
  private func weighed(_ value: Value, _ line: Int) throws(TemplateError) -> Value {
    switch value {
    case .list, .tuple, .dictionary: try budget.weigh(line, value)
    default: break
    }
    return value
  }

  /// Counts the work of a comparison, which walks over both values.
  private func allowComparison(
    _ left: Value, _ right: Value, _ line: Int
  ) throws(TemplateError) {
    if let text = right.string, let part = left.string {
      let work = Budget.product(text.utf8.count, part.utf8.count) / 256
      return try budget.spend(line, min(work, Budget.steps))
    }
    _ = try weighed(left, line)
    _ = try weighed(right, line)
  }

  private func dictionary(
    _ members: [(key: Expression, value: Expression)], _ scope: Scope, _ line: Int
  ) throws(TemplateError) -> Value {
    var result: [(key: String, value: Value)] = []
    for (key, value) in members {
      let key = try evaluate(key, scope)
      guard let name = key.string else {
        throw failure(line, "a dictionary's key is \(key.typeName); only texts are known here")
      }
      let value = try evaluate(value, scope)
      if let index = result.firstIndex(where: { PythonText.equal($0.key, name) }) {
        result[index].value = value
      } else {
        result.append((name, value))
      }
    }
    return try weighed(.dictionary(Value.Dictionary(result)), line)
  }

  private func undefined(_ value: Value, _ line: Int, _ lacks: String) -> TemplateError {
    guard case .undefined(let what) = value else { return failure(line, lacks) }
    return failure(line, "\(what) is undefined, so it \(lacks)")
  }

  private func values(_ parts: [Expression], _ scope: Scope) throws(TemplateError) -> [Value] {
    var values: [Value] = []
    for part in parts { values.append(try evaluate(part, scope)) }
    return values
  }

  private func optional(
    _ expression: Expression?, _ scope: Scope
  ) throws(TemplateError) -> Value? {
    guard let expression else { return nil }
    return try evaluate(expression, scope)
  }

  private func name(of callee: Expression) -> String {
    switch callee.kind {
    case .name(let name), .attribute(_, let name): "'\(name)'"
    default: "the function"
    }
  }

  private func arguments(
    _ arguments: Arguments, _ scope: Scope, _ line: Int, _ callee: String
  ) throws(TemplateError) -> CallArguments {
    var named: [(name: String, value: Value)] = []
    for (name, value) in arguments.named { named.append((name, try evaluate(value, scope))) }
    var given = CallArguments(
      template: template, line: line, callee: callee,
      positional: try values(arguments.positional, scope), named: named)
    if let spread = arguments.spread {
      let value = try evaluate(spread, scope)
      guard let items = value.items else {
        throw given.failure("what stands behind * is no list")
      }
      try budget.spend(line, items.count)
      given.positional += items
    }
    if let spread = arguments.spreadNamed {
      guard let members = try evaluate(spread, scope).dictionary?.members else {
        throw given.failure("what stands behind ** is no dictionary")
      }
      try budget.spend(line, members.count)
      for (name, value) in members {
        guard !given.named.contains(where: { $0.name == name }) else {
          throw given.failure("'\(name)' is given twice")
        }
        given.named.append((name, value))
      }
    }
    return given
  }

  // MARK: Filters that call filters and tests

  private func filter(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    try allow(name, value, arguments)
    switch name {
    case "map": return try map(value, arguments)
    case "select", "reject", "selectattr", "rejectattr":
      return try select(name, value, arguments)
    default: return try Filter.apply(name, value, arguments)
    }
  }

  private func map(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let items = try arguments.items(value)
    var result: [Value] = []
    if arguments.positional.isEmpty {
      let given = try arguments.bind("attribute", "default")
      for item in items {
        let found = try Filter.attribute(given["attribute"], of: item, arguments)
        result.append(found.isUndefined ? given["default"] ?? found : found)
      }
      return .list(result)
    }
    let name = try arguments.text(arguments.positional[0], "filter")
    guard Filter.names.contains(name) else {
      throw .unsupported(template: template, line: arguments.line, part: "filter", name: name)
    }
    var inner = arguments
    inner.positional.removeFirst()
    for item in items { result.append(try filter(name, item, inner)) }
    return .list(result)
  }

  private func select(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    var inner = arguments
    var path: Value?
    if name.hasSuffix("attr") {
      guard !inner.positional.isEmpty else { throw arguments.failure("'\(name)' needs a name") }
      path = inner.positional.removeFirst()
    }
    var test: String?
    if !inner.positional.isEmpty {
      test = try arguments.text(inner.positional.removeFirst(), "test")
    }
    if let test, !ValueTest.names.contains(test) {
      throw .unsupported(template: template, line: arguments.line, part: "test", name: test)
    }
    let keeps = name.hasPrefix("select")
    var result: [Value] = []
    for item in try arguments.items(value) {
      let subject = try Filter.attribute(path, of: item, arguments)
      let holds = try test.map { test throws(TemplateError) in
        try ValueTest.apply(test, subject, inner)
      }
      if (holds ?? subject.isTrue) == keeps { result.append(item) }
    }
    return .list(result)
  }
}
