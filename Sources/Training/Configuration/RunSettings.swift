import JSON

/// Settings by key, each with the place where it was written; later layers win over earlier ones.
///
/// ```swift
/// var settings = try RunSettings(yamlFile: "run.yaml")
/// try settings.set("learning_rate", text: "1e-3", source: .commandLine)
///
/// let others = try RunSettings(["model": "SmolLM-135M", "data": "data.h5", "r": 16])
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

  /// Settings of a program that trains by itself, by the keys of the YAML file.
  ///
  /// - Throws: `ConfigurationError` for unknown keys and values of another kind.
  public init(_ values: KeyValuePairs<String, JSONValue>) throws(ConfigurationError) {
    for (key, value) in values { try set(key, value: value, source: .code) }
  }

  /// The value of a key: what was set, else the table's default.
  public subscript(key: String) -> JSONValue? {
    entries[key]?.value ?? RunOption.named(key)?.defaultValue
  }

  /// Whether somebody set the key.
  public func isSet(_ key: String) -> Bool { entries[key] != nil }

  /// Where a key was set.
  public func source(of key: String) -> SettingSource { entries[key]?.source ?? .commandLine }

  /// Takes over everything that `other` sets; of two settings that exclude each other its own.
  public mutating func merge(_ other: RunSettings) {
    for (key, rival) in Self.rivals where other.isSet(key) { entries[rival] = nil }
    entries.merge(other.entries) { $1 }
  }

  /// Settings of which one takes the other's place.
  private static let rivals = [
    ("micro_batch_size", "micro_batch_tokens"), ("micro_batch_tokens", "micro_batch_size"),
  ]

  /// Sets a key to what `text` says, as on the command line.
  ///
  /// - Throws: `ConfigurationError` for unknown keys and values of another kind.
  public mutating func set(
    _ key: String, text: String, source: SettingSource
  ) throws(ConfigurationError) {
    let option = try RunSettings.option(key, source)
    guard let value = option.value(of: text) else {
      throw .wrongType(
        key: key, found: "'\(text)'", expected: option.expectation, source: source)
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
        key: key, found: value.text(), expected: option.expectation, source: source)
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
