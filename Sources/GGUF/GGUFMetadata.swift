import Files

/// The keys and values of a file, by what is expected of them.
///
/// Writers differ in the width of numbers; any is taken, and what is negative where a count is
/// expected is refused.
package struct GGUFMetadata: Sendable {
  /// The file, for messages.
  package let path: String
  private let values: [String: GGUFValue]
  private let file: MappedFile

  /// Elements of a list: more are in no model.
  private static let mostElements = 1 << 24

  init(path: String, values: [String: GGUFValue], file: MappedFile) {
    (self.path, self.values, self.file) = (path, values, file)
  }

  /// All keys, by name.
  package var keys: [String] { values.keys.sorted() }

  /// Whether there is such a key.
  package func has(_ key: String) -> Bool { values[key] != nil }

  /// A string; nil where there is no such key.
  package func string(_ key: String) throws(GGUFError) -> String? {
    guard let value = values[key] else { return nil }
    guard value.type == .string else { throw wrong(key, value, "a string") }
    guard let text = text(value.bytes) else {
      throw .badKey(path: path, key: key, found: "not UTF-8", expected: "a string")
    }
    return text
  }

  /// A truth value; nil where there is no such key.
  package func bool(_ key: String) throws(GGUFError) -> Bool? {
    guard let value = values[key] else { return nil }
    guard value.type == .bool else { throw wrong(key, value, "a truth value") }
    return unsafe file.bytes[value.bytes.lowerBound] == 1
  }

  /// A value as it is, for another file; nil where there is no such key.
  package func copy(_ key: String) -> GGUFNewValue? {
    guard let value = values[key] else { return nil }
    // The header checked the range.
    let bytes = unsafe Array(file.bytes[value.bytes])
    return .raw(
      type: value.type.rawValue, elementType: value.elementType?.rawValue, count: value.count,
      bytes: bytes)
  }

  /// A number; nil where there is no such key.
  package func number(_ key: String) throws(GGUFError) -> Double? {
    guard let value = values[key] else { return nil }
    switch value.type {
    case .float32:
      // Its decimal spelling, which is the one that the writer had: 1e-05, not
      // 9.99999974737875e-06.
      return Double("\(load(value.bytes.lowerBound, Float.self))")
    case .float64: return load(value.bytes.lowerBound, Double.self)
    default: break
    }
    guard let number = whole(value) else { throw wrong(key, value, "a number") }
    return Double(number)
  }

  /// A count: a whole number that is not negative, or a list of one such for each layer where all
  /// are equal; nil where there is no such key.
  package func count(_ key: String) throws(GGUFError) -> Int? {
    guard let value = values[key] else { return nil }
    if value.type == .array {
      let all = Set(try integers(key) ?? [])
      guard all.count == 1, let only = all.first, only >= 0 else {
        throw .badKey(
          path: path, key: key, found: "a list of unlike numbers",
          expected: "one number for all layers")
      }
      return only
    }
    guard let number = whole(value), number >= 0 else {
      throw wrong(key, value, "a whole number from 0 on")
    }
    return number
  }

  /// A list of strings; nil where there is no such key.
  package func strings(_ key: String) throws(GGUFError) -> [String]? {
    guard let value = try list(key, of: "strings", { $0 == .string }) else { return nil }
    var result: [String] = []
    result.reserveCapacity(value.count)
    var position = value.bytes.lowerBound
    for index in 0..<value.count {
      // The header walked over all of them.
      let length = Int(load(position, UInt64.self))
      guard let text = text((position + 8)..<(position + 8 + length)) else {
        throw .badKey(
          path: path, key: "\(key)[\(index)]", found: "not UTF-8", expected: "a string")
      }
      result.append(text)
      position += 8 + length
    }
    return result
  }

  /// Number of the tokenizer's tokens, without reading them.
  func tokenCount() throws(GGUFError) -> Int? {
    try list("tokenizer.ggml.tokens", of: "strings") { $0 == .string }?.count
  }

  /// A list of whole numbers; nil where there is no such key.
  package func integers(_ key: String) throws(GGUFError) -> [Int]? {
    let list = try list(key, of: "whole numbers") {
      switch $0 {
      case .float32, .float64, .bool, .string, .array: false
      default: true
      }
    }
    guard let value = list, let type = value.elementType, let size = type.byteCount else {
      return nil
    }
    return (0..<value.count).map { index in
      let start = value.bytes.lowerBound + index * size
      return whole(
        GGUFValue(type: type, elementType: nil, count: 1, bytes: start..<(start + size))) ?? -1
    }
  }

  /// A list of numbers in f32; nil where there is no such key.
  package func floats(_ key: String) throws(GGUFError) -> [Float]? {
    guard let value = try list(key, of: "numbers in f32", { $0 == .float32 }) else { return nil }
    return (0..<value.count).map { load(value.bytes.lowerBound + 4 * $0, Float.self) }
  }

  private func list(
    _ key: String, of what: String, _ isAllowed: (GGUFValueType) -> Bool
  ) throws(GGUFError) -> GGUFValue? {
    guard let value = values[key] else { return nil }
    guard let element = value.elementType, isAllowed(element) else {
      throw wrong(key, value, "a list of \(what)")
    }
    guard value.count <= Self.mostElements else {
      throw wrong(key, value, "at most \(Self.mostElements) elements")
    }
    return value
  }

  /// A whole number of any width; nil where it is none, or beyond 64 bits with a sign.
  func whole(_ value: GGUFValue) -> Int? {
    let start = value.bytes.lowerBound
    return switch value.type {
    case .uint8: Int(load(start, UInt8.self))
    case .int8: Int(load(start, Int8.self))
    case .uint16: Int(load(start, UInt16.self))
    case .int16: Int(load(start, Int16.self))
    case .uint32: Int(load(start, UInt32.self))
    case .int32: Int(load(start, Int32.self))
    case .uint64: Int(exactly: load(start, UInt64.self))
    case .int64: Int(load(start, Int64.self))
    default: nil
    }
  }

  /// A value whose place the header has checked.
  private func load<Number: BitwiseCopyable>(_ offset: Int, _ type: Number.Type) -> Number {
    unsafe file.bytes.loadUnaligned(fromByteOffset: offset, as: type)
  }

  private func text(_ range: Range<Int>) -> String? {
    unsafe String(validating: file.bytes[range], as: UTF8.self)
  }

  private func wrong(_ key: String, _ value: GGUFValue, _ expected: String) -> GGUFError {
    .badKey(path: path, key: key, found: value.kind, expected: expected)
  }
}
