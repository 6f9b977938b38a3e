/// Jinja's tests: `value is name`.
enum ValueTest {
  static let names: Set<String> = [
    "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number",
    "string", "mapping", "iterable", "sequence", "callable", "sameas", "odd", "even",
    "divisibleby", "lower", "upper", "in", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan",
    "<", "gt", "greaterthan", ">", "le", "<=", "ge", ">=",
  ]

  private static let signs = [
    "eq": "==", "equalto": "==", "==": "==", "ne": "!=", "!=": "!=", "lt": "<", "lessthan": "<",
    "<": "<", "gt": ">", "greaterthan": ">", ">": ">", "le": "<=", "<=": "<=", "ge": ">=",
    ">=": ">=", "in": "in",
  ]

  static func apply(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Bool {
    if let sign = signs[name] {
      guard let other = arguments.positional.first else {
        throw arguments.failure("the test '\(name)' needs something to compare with")
      }
      guard let result = Value.compare(sign, value, other) else {
        throw arguments.failure(
          "\(value.typeName) and \(other.typeName) cannot be compared by '\(sign)'")
      }
      return result
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": if case .none = value { return true } else { return false }
    case "boolean": if case .bool = value { return true } else { return false }
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "integer": if case .integer = value { return true } else { return false }
    case "float": if case .double = value { return true } else { return false }
    case "number": return value.double != nil
    case "string": return value.string != nil
    case "mapping": return value.dictionary != nil
    case "iterable": return value.items != nil
    case "sequence": return value.items != nil
    case "callable":
      switch value {
      case .function, .macro, .method: return true
      default: return false
      }
    case "sameas":
      guard let other = arguments.positional.first else { return false }
      return value.typeName == other.typeName && Value.equal(value, other)
    case "lower": return value.text.lowercased() == value.text
    case "upper": return value.text.uppercased() == value.text
    default:
      guard let number = value.integer else {
        throw arguments.failure("the test '\(name)' needs a whole number, not \(value.typeName)")
      }
      if name == "odd" { return number % 2 != 0 }
      if name == "even" { return number % 2 == 0 }
      guard let divisor = arguments.positional.first?.integer, divisor != 0 else {
        throw arguments.failure("'divisibleby' needs a whole number other than 0")
      }
      // The least number has no quotient by -1.
      return divisor == -1 || number % divisor == 0
    }
  }
}
