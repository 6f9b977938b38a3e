/// What a filter, test, method or function was called with.
struct CallArguments {
  let template: String
  let line: Int
  /// What was called, for messages.
  let callee: String
  var positional: [Value]
  var named: [(name: String, value: Value)]

  /// Takes the arguments as the parameters `names`, in order.
  ///
  /// - Throws: where there are more, or others, or one twice.
  func bind(_ names: String...) throws(TemplateError) -> [String: Value] {
    guard positional.count <= names.count else {
      throw failure("\(callee) takes \(names.count) arguments at most, not \(positional.count)")
    }
    var bound: [String: Value] = [:]
    for (name, value) in zip(names, positional) { bound[name] = value }
    for (name, value) in named {
      guard names.contains(name), bound[name] == nil else {
        throw failure("\(callee) has no argument '\(name)' here")
      }
      bound[name] = value
    }
    return bound
  }

  func failure(_ problem: String) -> TemplateError {
    .evaluation(template: template, line: line, problem: problem)
  }

  /// The items of a value that must have some.
  func items(_ value: Value) throws(TemplateError) -> [Value] {
    guard let items = value.items else {
      throw failure("\(callee) needs a list, not \(value.typeName)")
    }
    return items
  }

  /// A text that must be one.
  func text(_ value: Value?, _ parameter: String) throws(TemplateError) -> String {
    guard let text = value?.string else {
      throw failure("\(callee) needs a text as '\(parameter)', not \(value?.typeName ?? "nothing")")
    }
    return text
  }

  /// A whole number, or `otherwise` where none was given.
  func integer(
    _ value: Value?, _ parameter: String, default otherwise: Int
  ) throws(TemplateError) -> Int {
    guard let value else { return otherwise }
    guard let integer = value.integer else {
      throw failure("\(callee) needs a whole number as '\(parameter)', not \(value.typeName)")
    }
    return integer
  }
}
