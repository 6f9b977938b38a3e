/// A JSON text, value by value, as it is written.
///
/// ```swift
/// let header = try JSONNode(parsing: bytes)
/// let names = header.object?.members.map(\.key)
/// ```
///
/// It knows JSON text (RFC 8259) and nothing of what is written in it. Unlike Foundation's reader it
/// keeps the order of keys, tells integers from fractions, compares keys by their bytes and not by
/// Unicode equivalence, refuses an object that names a key twice, and says line and column of what
/// is wrong. NaN and Infinity, which Python writes, are not JSON and are refused. `JSONValue` is what
/// a text says, for whoever compares, changes and writes values.
public enum JSONNode: Sendable {
  /// `null`.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// A number without fraction and exponent that fits 64 bits.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// Text.
  case string(String)
  /// A list.
  case array([JSONNode])
  /// Keys and values, in the order of the text.
  case object(JSONObject)

  /// The value of `key` where this is an object that has it.
  public subscript(key: String) -> JSONNode? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  /// The text, where this is a string.
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  /// The truth value, where this is one.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The number, where this is an integer.
  public var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  /// The elements, where this is a list.
  public var array: [JSONNode]? { if case .array(let value) = self { value } else { nil } }
  /// Keys and values, where this is an object.
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  /// Whether this is `null`.
  public var isNull: Bool { if case .null = self { true } else { false } }

  /// The number, where this is one of either kind.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The kind of value in words, for messages: "a string".
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a truth value"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }
}

/// The keys and values of a JSON object in the order of the text; every key is there once.
public struct JSONObject: Sendable {
  /// Keys and values in order.
  public let members: [(key: String, value: JSONNode)]

  /// An object of `members`, whose keys the caller has made unique.
  public init(_ members: [(key: String, value: JSONNode)]) { self.members = members }

  /// Number of keys.
  public var count: Int { members.count }

  /// The value of `key`: a walk over the keys, for objects of a configuration's size.
  public subscript(key: String) -> JSONNode? {
    members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
  }
}

/// Where and why a text is not JSON.
public struct JSONError: Error, CustomStringConvertible, Sendable, Equatable {
  /// What is wrong.
  public enum Problem: Sendable, Equatable {
    /// The text ends in the middle of a value.
    case unexpectedEnd
    /// Another byte than the grammar allows.
    case unexpectedByte(UInt8, expected: String)
    /// Bytes that are not UTF-8.
    case notUTF8
    /// An escape sequence that JSON does not have, or half a surrogate pair.
    case badEscape
    /// A number that JSON does not write so.
    case badNumber
    /// A key that the same object has already.
    case duplicateKey(String)
    /// Lists and objects inside each other beyond the limit.
    case tooDeep(limit: Int)
  }

  /// Line, from 1.
  public let line: Int
  /// Byte in the line, from 1.
  public let column: Int
  /// What is wrong.
  public let problem: Problem

  /// An error at a place.
  public init(line: Int, column: Int, problem: Problem) {
    self.line = line
    self.column = column
    self.problem = problem
  }

  /// What and where.
  public var description: String {
    let what =
      switch problem {
      case .unexpectedEnd: "the text ends in the middle of a value"
      case .unexpectedByte(let byte, let expected):
        if byte >= 0x20 && byte < 0x7f {
          "found '\(Character(Unicode.Scalar(byte)))', expected \(expected)"
        } else {
          "found byte \(byte), expected \(expected)"
        }
      case .notUTF8: "bytes that are not UTF-8"
      case .badEscape: "an escape sequence that is not JSON's"
      case .badNumber: "a number that is not written as JSON's are"
      case .duplicateKey(let key): "the key \"\(key)\" for the second time"
      case .tooDeep(let limit): "values nested deeper than \(limit)"
      }
    return "line \(line), column \(column): \(what)"
  }
}

extension JSONValue {
  /// The value of a text, without the order of its keys.
  public init(_ node: JSONNode) {
    switch node {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .int(value)
    case .number(let value): self = .double(value)
    case .string(let value): self = .string(value)
    case .array(let elements): self = .array(elements.map(JSONValue.init))
    case .object(let object):
      self = .object(
        Dictionary(object.members.map { ($0.key, JSONValue($0.value)) }, uniquingKeysWith: { $1 }))
    }
  }
}
