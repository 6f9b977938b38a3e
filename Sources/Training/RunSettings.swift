import JSON

/// Settings by key, each with the place where it was written; later layers win over earlier ones.
///
/// ```swift
/// var settings = try RunSettings(yamlFile: "run.yaml")
/// try settings.set("learning_rate", text: "1e-3", source: .commandLine)
/// ```
///
/// It checks names and kinds against the table of `RunOption`, and knows nothing of what they mean.
public struct RunSettings: Sendable {
  /// One value and where it comes from.
  public struct Entry: Sendable {
    /// The value, of its option's kind.
    public let value: JSONValue
    /// Where it was written.
    public let source: SettingSource
  }

  /// What was set, by key.
  public private(set) var entries: [String: Entry] = [:]

  /// No settings.
  public init() {}

  /// The value of a key: what was set, else the table's default.
  public subscript(key: String) -> JSONValue? {
    entries[key]?.value ?? RunOption.named(key)?.defaultValue
  }

  /// Whether somebody set the key.
  public func isSet(_ key: String) -> Bool { entries[key] != nil }

  /// Where a key was set.
  public func source(of key: String) -> SettingSource { entries[key]?.source ?? .commandLine }

  /// Takes over everything that `other` sets.
  public mutating func merge(_ other: RunSettings) {
    entries.merge(other.entries) { $1 }
  }

  /// Sets a key to what `text` says, as on the command line.
  ///
  /// - Throws: `ConfigurationError` for unknown keys and values of another kind.
  public mutating func set(
    _ key: String, text: String, source: SettingSource
  ) throws(ConfigurationError) {
    let option = try RunSettings.option(key, source)
    guard let value = option.value(of: text) else {
      throw .wrongType(
        key: key, found: "'\(text)'", expected: option.kind.expectation, source: source)
    }
    entries[key] = Entry(value: value, source: source)
  }

  /// Sets a key to a value that already has a type, as in a checkpoint's configuration.
  ///
  /// - Throws: `ConfigurationError` for unknown keys and values of another kind.
  public mutating func set(
    _ key: String, value: JSONValue, source: SettingSource
  ) throws(ConfigurationError) {
    let option = try RunSettings.option(key, source)
    guard let value = option.value(of: value) else {
      throw .wrongType(
        key: key, found: value.text(), expected: option.kind.expectation, source: source)
    }
    entries[key] = Entry(value: value, source: source)
  }

  /// Forgets a key.
  public mutating func remove(_ key: String) { entries[key] = nil }

  private static func option(
    _ key: String, _ source: SettingSource
  ) throws(ConfigurationError) -> RunOption {
    if let option = RunOption.named(key) { return option }
    throw .unknownKey(name: key, source: source, nearest: RunOption.nearest(to: key))
  }
}

extension RunOption {
  /// Reads a text as a value of this option; nil when it is none.
  func value(of text: String) -> JSONValue? {
    switch kind {
    case .flag:
      switch text.lowercased() {
      case "true", "yes", "on": return .bool(true)
      case "false", "no", "off": return .bool(false)
      default: return nil
      }
    case .integer, .number:
      if let whole = Int(text) { return value(of: .int(whole)) }
      return Double(text).flatMap { value(of: .double($0)) }
    case .text, .path: return text.isEmpty ? nil : .string(text)
    // A file of that name is still reached as ./newest.
    case .optionalPath: return .string(text == "newest" ? "" : text)
    case .choice(let names): return names.contains(text) ? .string(text) : nil
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
        ? .array(numbers.map { .int($0) }) : nil
    case .object:
      guard let parsed = try? JSONValue(parsing: .init(text.utf8)), parsed.object != nil else {
        return nil
      }
      return parsed
    }
  }

  /// Takes a typed value as one of this option; nil when it is none.
  func value(of value: JSONValue) -> JSONValue? {
    switch (kind, value) {
    case (.flag, .bool): return value
    case (.integer(let minimum, let maximum), _):
      return value.int.flatMap { $0 >= minimum && $0 <= maximum ? .int($0) : nil }
    case (.number(let minimum, let maximum), _):
      return value.double.flatMap {
        $0.isFinite && $0 >= minimum && $0 <= maximum ? .double($0) : nil
      }
    case (.text, .string), (.path, .string): return value
    case (.optionalPath, .string(let text)): return self.value(of: text)
    case (.optionalPath, .bool(true)): return .string("")
    case (.choice(let names), .string(let name)): return names.contains(name) ? value : nil
    case (.textOrFlag, .string), (.textOrFlag, .bool): return value
    case (.names, .string(let text)): return self.value(of: text)
    case (.names, .array(let elements)):
      return elements.allSatisfy { $0.string != nil } ? value : nil
    case (.integers, .int): return .array([value])
    case (.integers, .array(let elements)):
      return elements.allSatisfy { $0.int != nil } ? value : nil
    case (.object, .object): return value
    default: return nil
    }
  }
}
