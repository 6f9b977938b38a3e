import Diagnostics
import JSON

// JSON has a nil of its own, so conditions say .some and .none here.

/// What the value of a setting looks like: a field of a method, or an option of a run.
public enum FieldKind: Sendable, Hashable {
  /// `true` or `false`; on the command line the option alone.
  case flag
  /// A whole number, both ends included.
  case integer(minimum: Int, maximum: Int = Int(Int32.max))
  /// A finite number in a range, both ends included.
  case number(minimum: Double, maximum: Double)
  /// Any text.
  case text
  /// One of some names.
  case choice([String])
  /// A name, or `true` or `false`.
  case textOrFlag
  /// A length of time (`DurationText`), or one of some words.
  case duration(words: [String])
  /// A file or directory.
  case path
  /// A path, or nothing: `--resume` alone.
  case optionalPath
  /// Module names, or one text that selects them (a regular expression, `all-linear`).
  case names
  /// A whole number or several.
  case integers
  /// Whole numbers, or a JSON object of such lists by name.
  case integersOrObject
  /// A number, or a JSON object of numbers by name.
  case numberOrObject
  /// A JSON object.
  case object

  /// Any finite number.
  public static let anyNumber = FieldKind.number(
    minimum: -Double.greatestFiniteMagnitude, maximum: .greatestFiniteMagnitude)
  /// A probability of dropping out, which is never 1.
  public static let probability = FieldKind.number(minimum: 0, maximum: 0.999)

  /// What is expected, for errors.
  public var expectation: String {
    switch self {
    case .flag: "true or false"
    case .integer(let minimum, let maximum):
      maximum == .max
        ? "a whole number, at least \(minimum)" : "a whole number from \(minimum) to \(maximum)"
    case .number(let minimum, let maximum):
      if minimum == -Double.greatestFiniteMagnitude {
        "a number"
      } else {
        maximum == .infinity
          ? "a number, at least \(minimum)" : "a number from \(minimum) to \(maximum)"
      }
    case .text: "a text"
    case .textOrFlag: "a name, true or false"
    case .choice(let names): "one of \(names.joined(separator: ", "))"
    case .duration(let words):
      ([DurationText.expectation] + words).joined(separator: ", or ")
    case .path, .optionalPath: "a path"
    case .names: "names, separated by commas, or a regular expression"
    case .integers: "whole numbers, separated by commas"
    case .integersOrObject: "whole numbers, separated by commas, or a JSON object of such lists"
    case .numberOrObject: "a number, or a JSON object of numbers"
    case .object: "a JSON object"
    }
  }

  /// Reads a text as a value of this kind, as on the command line; nil when it is none.
  public func value(of text: String) -> JSONValue? {
    switch self {
    case .flag:
      switch text.lowercased() {
      case "true", "yes", "on": return .bool(true)
      case "false", "no", "off": return .bool(false)
      default: return nil
      }
    case .integer, .number:
      if let whole = Int(text) { return value(of: .int(whole)) }
      return Double(text).flatMap { value(of: .double($0)) }
    case .duration(let words):
      let isOne = words.contains(text) || DurationText.seconds(text) != nil
      return isOne ? .some(.string(text)) : .none
    case .text, .path: return text.isEmpty ? .none : .some(.string(text))
    // A file of that name is still reached as ./newest.
    case .optionalPath: return .string(text == "newest" ? "" : text)
    case .choice(let names): return names.contains(text) ? .some(.string(text)) : .none
    case .textOrFlag:
      return text == "true" || text == "false" ? .bool(text == "true") : .string(text)
    case .names:
      // Characters that module names never have make it a pattern, which is one text.
      let pattern = text.contains { "*()[]^$|\\+?".contains($0) }
      if pattern || text.lowercased() == "all-linear" { return .string(text) }
      return .array(text.split { ", ".contains($0) }.map { .string(String($0)) })
    case .integers:
      let parts = text.split { ", ".contains($0) }.map { Int($0) }
      let numbers = parts.compactMap(\.self)
      return numbers.count == parts.count && !numbers.isEmpty
        ? .some(.array(numbers.map { .int($0) })) : .none
    case .integersOrObject:
      if let numbers = FieldKind.integers.value(of: text) { return numbers }
      return (try? JSONValue(parsing: .init(text.utf8))).flatMap { value(of: $0) }
    case .numberOrObject:
      if let number = Double(text) { return value(of: .double(number)) }
      return FieldKind.object.value(of: text)
    case .object:
      guard let parsed = try? JSONValue(parsing: .init(text.utf8)), parsed.object != nil else {
        return nil
      }
      return parsed
    }
  }

  /// Takes a typed value as one of this kind; nil when it is none.
  public func value(of value: JSONValue) -> JSONValue? {
    switch (self, value) {
    case (.flag, .bool): return value
    case (.integer(let minimum, let maximum), _):
      return value.int.flatMap { $0 >= minimum && $0 <= maximum ? .some(.int($0)) : .none }
    case (.number(let minimum, let maximum), _):
      return value.double.flatMap {
        $0.isFinite && $0 >= minimum && $0 <= maximum ? .some(.double($0)) : .none
      }
    case (.text, .string), (.path, .string): return value
    case (.duration, .string(let text)): return self.value(of: text)
    case (.duration, .int(0)): return .string("0")
    case (.optionalPath, .string(let text)): return self.value(of: text)
    case (.optionalPath, .bool(true)): return .string("")
    case (.choice(let names), .string(let name)): return names.contains(name) ? .some(value) : .none
    case (.textOrFlag, .string), (.textOrFlag, .bool): return value
    case (.names, .string(let text)): return self.value(of: text)
    case (.names, .array(let elements)):
      return elements.allSatisfy { $0.string != nil } ? .some(value) : .none
    case (.integers, .int), (.integersOrObject, .int): return .array([value])
    case (.integers, .array(let elements)), (.integersOrObject, .array(let elements)):
      return elements.allSatisfy { $0.int != nil } ? .some(value) : .none
    case (.integersOrObject, .object(let members)):
      let isLists = members.values.allSatisfy { FieldKind.integers.value(of: $0) != nil }
      return isLists ? .some(value) : .none
    case (.numberOrObject, _) where value.double != nil: return value
    case (.object, .object), (.numberOrObject, .object): return value
    default: return nil
    }
  }
}
