/// An expression and the line it starts on.
struct Expression: Sendable {
  indirect enum Kind: Sendable {
    case constant(Constant)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dictionary([(key: Expression, value: Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, from: Expression?, to: Expression?, by: Expression?)
    case call(Expression, Arguments)
    case filter(Expression, String, Arguments)
    case test(Expression, String, Arguments)
    case not(Expression)
    case negative(Expression)
    case positive(Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case arithmetic(String, Expression, Expression)
    case comparison(Expression, [(operation: String, operand: Expression)])
    case concatenation([Expression])
    case condition(Expression, then: Expression, otherwise: Expression?)
    /// What a filter block or a block `set` filters: the text of its body.
    case captured
  }

  var line: Int
  var kind: Kind
}

/// What is written in a template.
enum Constant: Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case double(Double)
  case string(String)
}

/// What a call, a filter or a test is given.
struct Arguments: Sendable {
  var positional: [Expression] = []
  var named: [(name: String, value: Expression)] = []
  /// `*values`: behind the positional ones.
  var spread: Expression?
  /// `**members`: behind the named ones.
  var spreadNamed: Expression?

  var isEmpty: Bool {
    positional.isEmpty && named.isEmpty && spread == nil && spreadNamed == nil
  }
}

/// What a loop or `set` assigns to.
indirect enum Target: Sendable {
  case name(String)
  case attribute(object: String, name: String)
  case tuple([Target])
}

/// A macro, or the body that a `call` block hands to one.
struct MacroSyntax: Sendable {
  var name: String
  var parameters: [(name: String, defaultValue: Expression?)]
  var body: [Statement]
}

/// A part of a template that does something.
struct Statement: Sendable {
  indirect enum Kind: Sendable {
    case text(String)
    case print(Expression)
    case loop(
      Target, over: Expression, filter: Expression?, body: [Statement], otherwise: [Statement])
    case condition([(condition: Expression?, body: [Statement])])
    case set(Target, Expression)
    case setBlock(Target, body: [Statement], Expression)
    case macro(MacroSyntax)
    case call(Expression, caller: MacroSyntax)
    case filter([Statement], Expression)
    case with([(Target, Expression)], [Statement])
    case generation([Statement])
    case perform(Expression)
    case breakLoop
    case continueLoop
  }

  var line: Int
  var kind: Kind
}
