import Foundation

/// One rendering of a template: its output, its scopes, and what is traced.
final class Renderer {
  let template: String
  let now: Date
  let budget: Budget
  /// Output, innermost capture last.
  private var outputs = [""]
  /// The dictionaries whose output is noted.
  private let traced: [Value.Dictionary]
  private(set) var itemRanges: [Int: [Range<Int>]] = [:]
  private(set) var generationRanges: [Range<Int>] = []

  var output: String { outputs[0] }

  init(template: String, now: Date, tracing traced: [Value.Dictionary]) {
    self.template = template
    self.now = now
    budget = Budget(template: template)
    self.traced = traced
  }

  /// How a statement ends.
  enum Flow {
    case goesOn
    case breaksLoop
    case continuesLoop
  }

  func failure(_ line: Int, _ problem: String) -> TemplateError {
    .evaluation(template: template, line: line, problem: problem)
  }

  func run(_ statements: [Statement], _ scope: Scope) throws(TemplateError) -> Flow {
    for statement in statements {
      let flow = try run(statement, scope)
      if flow != .goesOn { return flow }
    }
    return .goesOn
  }

  /// What statements print, instead of printing it.
  func captured(_ statements: [Statement], _ scope: Scope) throws(TemplateError) -> String {
    outputs.append("")
    do throws(TemplateError) { _ = try run(statements, scope) } catch {
      outputs.removeLast()
      throw error
    }
    return outputs.removeLast()
  }

  private func write(_ text: String, _ line: Int) throws(TemplateError) {
    outputs[outputs.count - 1] += text
    try budget.take(line, bytes: text.utf8.count)
    try budget.allowText(line, outputs[outputs.count - 1].utf8.count)
  }

  /// How a value is printed; its size is known before it is made.
  func printed(_ value: Value, _ line: Int) throws(TemplateError) -> String {
    if let text = value.string { return text }
    try budget.allowText(line, Budget.written(value))
    return value.text
  }

  private func run(_ statement: Statement, _ scope: Scope) throws(TemplateError) -> Flow {
    let line = statement.line
    try budget.spend(line)
    try budget.enter(line)
    defer { budget.leave() }
    switch statement.kind {
    case .text(let text): try write(text, line)
    case .print(let expression): try write(try printed(try evaluate(expression, scope), line), line)
    case .perform(let expression): _ = try evaluate(expression, scope)
    case .set(let target, let expression):
      try assign(try evaluate(expression, scope), to: target, scope, line)
    case .setBlock(let target, let body, let filter):
      let text = try captured(body, Scope(scope))
      try assign(try evaluate(filter, scope, captured: text), to: target, scope, line)
    case .condition(let branches):
      for branch in branches {
        if let condition = branch.condition, !(try evaluate(condition, scope).isTrue) { continue }
        return try run(branch.body, scope)
      }
    case .loop(let target, let list, let filter, let body, let otherwise):
      try loop(target, list, filter, body, otherwise, scope, line)
    case .macro(let syntax): scope[syntax.name] = .macro(Value.Macro(syntax, scope))
    case .call(let expression, let caller):
      let value = try evaluate(expression, scope, caller: Value.Macro(caller, scope))
      try write(try printed(value, line), line)
    case .filter(let body, let filter):
      let text = try captured(body, Scope(scope))
      try write(try printed(try evaluate(filter, scope, captured: text), line), line)
    case .with(let values, let body):
      let inner = Scope(scope)
      // All values are those of the outer scope.
      for (target, value) in values {
        try assign(try evaluate(value, scope), to: target, inner, line)
      }
      return try run(body, inner)
    case .generation(let body):
      let text = try captured(body, Scope(scope))
      if outputs.count == 1 {
        let start = output.utf8.count
        generationRanges.append(start..<(start + text.utf8.count))
      }
      try write(text, line)
    case .breakLoop: return .breaksLoop
    case .continueLoop: return .continuesLoop
    }
    return .goesOn
  }

  func assign(
    _ value: Value, to target: Target, _ scope: Scope, _ line: Int
  ) throws(TemplateError) {
    switch target {
    case .name(let name): scope[name] = value
    case .attribute(let object, let name):
      guard case .namespace(let namespace)? = scope[object] else {
        throw failure(line, "'\(object)' is no namespace, so '\(object).\(name)' cannot be set")
      }
      namespace.members[name] = value
      try budget.weigh(line, .namespace(namespace))
    case .tuple(let targets):
      guard let items = value.items, items.count == targets.count else {
        throw failure(line, "\(value.typeName) does not unpack to \(targets.count) values")
      }
      for (target, item) in zip(targets, items) { try assign(item, to: target, scope, line) }
    }
  }

  private func loop(
    _ target: Target, _ list: Expression, _ filter: Expression?, _ body: [Statement],
    _ otherwise: [Statement], _ scope: Scope, _ line: Int
  ) throws(TemplateError) {
    let value = try evaluate(list, scope)
    guard var items = value.items else {
      throw failure(line, "a loop needs a list, not \(value.typeName)")
    }
    try budget.spend(line, Budget.work(value))
    if let filter {
      var kept: [Value] = []
      for item in items {
        try budget.spend(line)
        let inner = Scope(scope)
        try assign(item, to: target, inner, line)
        if try evaluate(filter, inner).isTrue { kept.append(item) }
      }
      items = kept
    }
    if items.isEmpty {
      _ = try run(otherwise, Scope(scope))
      return
    }
    let state = Value.LoopState(items: items)
    for (index, item) in items.enumerated() {
      state.index = index
      try budget.spend(line)
      let inner = Scope(scope, ["loop": .loop(state)])
      try assign(item, to: target, inner, line)
      let start = output.utf8.count
      let flow = try run(body, inner)
      note(item, from: start)
      if flow == .breaksLoop { break }
    }
  }

  /// Notes what an item of the traced list put out, where it is the template's own output.
  private func note(_ item: Value, from start: Int) {
    guard outputs.count == 1, output.utf8.count > start, let dictionary = item.dictionary,
      let index = traced.firstIndex(where: { $0 === dictionary })
    else { return }
    itemRanges[index, default: []].append(start..<output.utf8.count)
  }

  // MARK: Calls

  func call(
    _ callee: Value, _ arguments: CallArguments, caller: Value.Macro?
  ) throws(TemplateError) -> Value {
    switch callee {
    case .macro(let macro): return try call(macro, arguments, caller)
    case .method(let value, let name):
      try allow(name, value, arguments)
      return try Method.call(value, name, arguments)
    case .function(let name): return try call(function: name, arguments)
    case .undefined(let what): throw arguments.failure("\(what) is undefined and was called")
    default: throw arguments.failure("\(callee.typeName) cannot be called")
    }
  }

  private func call(
    _ macro: Value.Macro, _ arguments: CallArguments, _ caller: Value.Macro?
  ) throws(TemplateError) -> Value {
    let syntax = macro.syntax
    guard arguments.positional.count <= syntax.parameters.count else {
      throw arguments.failure(
        "the macro '\(syntax.name)' takes \(syntax.parameters.count) arguments at most")
    }
    var named: [String: Value] = [:]
    for (name, value) in arguments.named { named[name] = value }
    let scope = Scope(macro.scope)
    if let caller { scope["caller"] = .macro(caller) }
    for (index, parameter) in syntax.parameters.enumerated() {
      let given = named.removeValue(forKey: parameter.name)
      if index < arguments.positional.count {
        guard given == nil else {
          throw arguments.failure("'\(parameter.name)' of '\(syntax.name)' is given twice")
        }
        scope[parameter.name] = arguments.positional[index]
      } else if let given {
        scope[parameter.name] = given
      } else if let expression = parameter.defaultValue {
        scope[parameter.name] = try evaluate(expression, scope)
      } else {
        scope[parameter.name] = .undefined("the parameter '\(parameter.name)'")
      }
    }
    if let other = named.keys.sorted().first {
      throw arguments.failure("the macro '\(syntax.name)' has no parameter '\(other)'")
    }
    return .string(try captured(syntax.body, scope))
  }

  /// The functions that transformers gives every template.
  static let functions = ["range", "namespace", "dict", "raise_exception", "strftime_now"]

  private func call(
    function name: String, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "raise_exception":
      let message = try arguments.bind("message")["message"]?.text ?? ""
      throw .raised(template: template, line: arguments.line, message: message)
    case "strftime_now":
      let format = try arguments.text(try arguments.bind("format")["format"], "format")
      return .string(try DateText.text(of: now, format: format, arguments))
    case "range":
      var bounds: [Int] = []
      for value in arguments.positional {
        bounds.append(try arguments.integer(value, "bound", default: 0))
      }
      let step = bounds.count > 2 ? bounds[2] : 1
      guard (1...3).contains(bounds.count), step != 0 else {
        throw arguments.failure("range takes one to three whole numbers, the third not 0")
      }
      let numbers = stride(
        from: bounds.count == 1 ? 0 : bounds[0], to: bounds.count == 1 ? bounds[0] : bounds[1],
        by: step)
      // The sandbox's limit.
      let items = Array(numbers.prefix(100_001))
      guard items.count <= 100_000 else {
        throw arguments.failure("a range of more than 100000 numbers")
      }
      return .list(items.map { .integer($0) })
    default:
      var members: [(key: String, value: Value)] = []
      for value in arguments.positional { members += value.dictionary?.members ?? [] }
      members += arguments.named.map { ($0.name, $0.value) }
      try budget.spend(arguments.line, min(Budget.product(members.count, 4), Budget.steps))
      guard name == "namespace" else {
        let dictionary = Value.dictionary(Value.Dictionary(members))
        try budget.weigh(arguments.line, dictionary)
        return dictionary
      }
      let namespace = Value.Namespace()
      for (key, value) in members { namespace.members[key] = value }
      try budget.weigh(arguments.line, .namespace(namespace))
      return .namespace(namespace)
    }
  }
}
