import JSON

/// A value while a template is rendered: Python's, as far as templates see them.
///
/// Values live on the one thread that renders. Lists and dictionaries do not change, since
/// transformers' sandbox forbids it; a namespace does.
indirect enum Value {
  /// Nothing there; what was looked for, in words.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case double(Double)
  case string(String)
  case list([Value])
  case tuple([Value])
  case dictionary(Dictionary)
  case namespace(Namespace)
  case loop(LoopState)
  case macro(Macro)
  /// A function that every template has.
  case function(String)
  /// A method of a value.
  case method(Value, String)

  /// Keys and values in their order; an object, so that a message is known again where a loop
  /// comes to it.
  final class Dictionary {
    let members: [(key: String, value: Value)]
    init(_ members: [(key: String, value: Value)]) { self.members = members }

    subscript(key: String) -> Value? {
      members.first { PythonText.equal($0.key, key) }?.value
    }
  }

  /// What `namespace()` makes: variables that a loop's body may change.
  final class Namespace {
    var members: [String: Value] = [:]
  }

  /// The `loop` variable.
  final class LoopState {
    let items: [Value]
    var index = 0
    var lastChanged: [Value]?
    init(items: [Value]) { self.items = items }
  }

  /// A macro and where it was defined.
  final class Macro {
    let syntax: MacroSyntax
    let scope: Scope
    init(_ syntax: MacroSyntax, _ scope: Scope) {
      self.syntax = syntax
      self.scope = scope
    }
  }

  /// The value of a JSON text.
  init(_ node: JSONNode) {
    switch node {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .number(let value): self = .double(value)
    case .string(let text): self = .string(text)
    case .array(let elements): self = .list(elements.map { Value($0) })
    case .object(let object):
      self = .dictionary(Dictionary(object.members.map { ($0.key, Value($0.value)) }))
    }
  }

  init(_ constant: Constant) {
    switch constant {
    case .none: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .double(let value): self = .double(value)
    case .string(let text): self = .string(text)
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }
  var string: String? { if case .string(let text) = self { text } else { nil } }
  var dictionary: Dictionary? { if case .dictionary(let value) = self { value } else { nil } }

  /// A whole number; Python's truth values are such.
  var integer: Int? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  /// Any number.
  var double: Double? {
    if case .double(let value) = self { value } else { integer.map(Double.init) }
  }

  /// What `if` asks.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .double(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let items), .tuple(let items): !items.isEmpty
    case .dictionary(let dictionary): !dictionary.members.isEmpty
    default: true
    }
  }

  /// What a loop over the value goes through; nil where there is no such thing.
  var items: [Value]? {
    switch self {
    case .undefined: []
    case .string(let text): text.unicodeScalars.map { .string(String($0)) }
    case .list(let items), .tuple(let items): items
    case .dictionary(let dictionary): dictionary.members.map { .string($0.key) }
    default: nil
    }
  }

  /// Python's name of the type.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .integer: "int"
    case .double: "float"
    case .string: "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dictionary: "dict"
    case .namespace: "Namespace"
    case .loop: "LoopContext"
    case .macro: "Macro"
    case .function, .method: "function"
    }
  }
}

/// Variables, and those around them.
final class Scope {
  private var variables: [String: Value]
  private let parent: Scope?

  init(_ parent: Scope?, _ variables: [String: Value] = [:]) {
    self.parent = parent
    self.variables = variables
  }

  /// Forgets all variables.
  func forget() { variables.removeAll() }

  subscript(name: String) -> Value? {
    get {
      var scope: Scope? = self
      while let current = scope {
        if let value = current.variables[name] { return value }
        scope = current.parent
      }
      return nil
    }
    set { variables[name] = newValue }
  }
}
