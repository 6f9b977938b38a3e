import JSON
import Patterns

/// Fields of a part: there, of the right kind, and known.
extension TokenizerReader {
  func check(_ node: JSONNode, _ field: String, known: Set<String>) throws(TokenizerError) {
    guard let members = node.object?.members else {
      throw .badField(path: path, field: field, found: node.kind, expected: "an object")
    }
    for (key, _) in members where !known.contains(key) {
      throw .unsupported(path: path, field: field, found: "the field '\(key)'")
    }
  }

  /// The part's type, for which the fields are then checked.
  func type(_ node: JSONNode, _ field: String) throws(TokenizerError) -> String {
    try string(node, "type", field)
  }

  func string(
    _ node: JSONNode, _ key: String, _ field: String
  ) throws(TokenizerError) -> String {
    guard let value = node[key]?.string else { throw bad(node[key], key, field, "a string") }
    return value
  }

  func optionalString(
    _ node: JSONNode, _ key: String, _ field: String
  ) throws(TokenizerError) -> String? {
    guard let value = node[key], !value.isNull else { return nil }
    return try string(node, key, field)
  }

  func bool(
    _ node: JSONNode, _ key: String, _ field: String, default standard: Bool? = nil
  ) throws(TokenizerError) -> Bool {
    if let value = node[key]?.bool { return value }
    if node[key]?.isNull ?? true, let standard { return standard }
    throw bad(node[key], key, field, "true or false")
  }

  func integer(
    _ node: JSONNode, _ key: String, _ field: String
  ) throws(TokenizerError) -> Int {
    guard let value = node[key]?.integer, value >= 0 else {
      throw bad(node[key], key, field, "a number that is not negative")
    }
    return value
  }

  func array(
    _ node: JSONNode, _ key: String, _ field: String
  ) throws(TokenizerError) -> [JSONNode] {
    guard let value = node[key]?.array else { throw bad(node[key], key, field, "a list") }
    return value
  }

  /// A string of exactly one scalar.
  func scalar(
    _ node: JSONNode, _ key: String, _ field: String
  ) throws(TokenizerError) -> UInt32 {
    let text = try string(node, key, field)
    guard let first = text.unicodeScalars.first, text.unicodeScalars.count == 1 else {
      throw .badField(
        path: path, field: "\(field).\(key)", found: "'\(text)'", expected: "one character")
    }
    return first.value
  }

  /// `{"String": …}` or `{"Regex": …}`.
  func pattern(_ node: JSONNode, _ field: String) throws(TokenizerError) -> TextPattern {
    let field = "\(field).pattern"
    let value = node["pattern"] ?? .null
    try check(value, field, known: ["String", "Regex"])
    if let text = try optionalString(value, "String", field) {
      guard !text.isEmpty else {
        throw .unsupported(path: path, field: field, found: "an empty string")
      }
      // It is compared at every place of a text.
      if text.utf8.count > 1 << 10 {
        throw .limit(
          path: path, field: field, problem: "a string of \(text.utf8.count) bytes, more than 1024")
      }
      return .literal(Array(text.utf8))
    }
    return .regex(try program(try string(value, "Regex", field), field))
  }

  func program(_ pattern: String, _ field: String) throws(TokenizerError) -> RegexProgram {
    do { return try RegexProgram(oniguruma: pattern) } catch {
      throw .badPattern(path: path, field: field, pattern: pattern, problem: error.problem)
    }
  }

  func behavior(
    _ node: JSONNode, _ field: String, default standard: SplitBehavior? = nil
  ) throws(TokenizerError) -> SplitBehavior {
    if node["behavior"] == nil, let standard { return standard }
    let name = try string(node, "behavior", field)
    guard let behavior = SplitBehavior(rawValue: name) else {
      throw .unsupported(path: path, field: "\(field).behavior", found: "'\(name)'")
    }
    return behavior
  }

  func unknown(_ type: String, _ field: String) -> TokenizerError {
    .unsupported(path: path, field: field, found: "'\(type)'")
  }

  private func bad(
    _ value: JSONNode?, _ key: String, _ field: String, _ expected: String
  ) -> TokenizerError {
    .badField(
      path: path, field: "\(field).\(key)", found: value?.kind ?? "missing", expected: expected)
  }
}
