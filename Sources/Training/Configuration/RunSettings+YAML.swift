import Foundation
import JSON
import Yams

extension RunSettings {
  /// Reads a YAML file.
  ///
  /// A key without a value counts as not set.
  ///
  /// - Throws: `ConfigurationError`, with the line of what is wrong.
  public init(yamlFile path: String) throws(ConfigurationError) {
    self.init()
    try read(yaml: RunSettings.text(ofFile: path), path: path)
  }

  /// Reads YAML text; `path` is what errors call it.
  ///
  /// - Throws: `ConfigurationError`, with the line of what is wrong.
  public mutating func read(yaml text: String, path: String) throws(ConfigurationError) {
    if let mapping = try RunSettings.mapping(yaml: text, path: path) {
      try read(mapping, path: path)
    }
  }

  /// The text of a configuration file.
  static func text(ofFile path: String) throws(ConfigurationError) -> String {
    do {
      return try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
    } catch {
      let exists = FileManager.default.fileExists(atPath: path)
      throw .unreadableFile(
        path: path, reason: exists ? "it cannot be opened or is not UTF-8" : "no such file")
    }
  }

  /// The keys of a YAML text with their values; nil where it says nothing.
  static func mapping(yaml text: String, path: String) throws(ConfigurationError) -> Node.Mapping? {
    let node: Node?
    do {
      node = try Yams.compose(yaml: text)
    } catch {
      throw .malformedFile(path: path, reason: reason(of: error))
    }
    guard let node else { return nil }
    guard let mapping = node.mapping else {
      throw .malformedFile(path: path, reason: "its top level is no mapping")
    }
    return mapping
  }

  /// Sets every key of a mapping but `section`, which somebody else reads.
  mutating func read(
    _ mapping: Node.Mapping, path: String, except section: String? = nil
  ) throws(ConfigurationError) {
    for (keyNode, valueNode) in mapping {
      let source = RunSettings.source(of: keyNode, path: path)
      guard let key = keyNode.string else {
        throw .malformedFile(path: path, reason: "the key \(source) is no text")
      }
      if key == section { continue }
      // `set` would look the key up too, but an unknown one without a value is just as unknown.
      guard let option = RunOption.named(key) else {
        throw .unknownKey(name: key, source: source, nearest: RunOption.nearest(to: key))
      }
      let valueSource = RunSettings.source(of: valueNode, path: path)
      if let scalar = valueNode.scalar {
        if RunSettings.isNull(scalar) { continue }
        // `resume: true` is --resume, and `false` is none; quoted they are paths.
        if case .optionalPath = option.kind, let flag = RunSettings.flag(scalar) {
          if flag { try set(key, value: .bool(true), source: valueSource) } else { remove(key) }
          continue
        }
        // Kinds decide what a scalar means, not YAML's guesses: 2e-4 is a number here.
        if case .object = option.kind {
          try set(key, value: RunSettings.value(valueNode, path), source: valueSource)
        } else {
          try set(key, text: scalar.string, source: valueSource)
        }
      } else {
        try set(key, value: RunSettings.value(valueNode, path), source: valueSource)
      }
    }
  }

  /// Where a key or value stands.
  static func source(of node: Node, path: String) -> SettingSource {
    .file(path: path, line: node.mark?.line, column: node.mark?.column)
  }

  /// What is wrong with a text that is not YAML, in one line that begins with the place.
  private static func reason(of error: any Error) -> String {
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let words = context.map { "\($0.text) " } ?? ""
      return "line \(mark.line), column \(mark.column): \(words)\(problem)"
    case .duplicatedKeysInMapping(let duplicates, let context):
      return
        "line \(context.mark.line), column \(context.mark.column): given twice: \(duplicates.joined(separator: ", "))"
    default: return "\(error)".replacing("\n", with: " ")
    }
  }

  private static func isNull(_ scalar: Node.Scalar) -> Bool {
    scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }

  /// `true` or `false` as YAML has them; nil for other texts, quoted ones among them.
  private static func flag(_ scalar: Node.Scalar) -> Bool? {
    guard scalar.style == .plain || scalar.style == .any else { return nil }
    return switch scalar.string {
    case "true", "True", "TRUE": true
    case "false", "False", "FALSE": false
    default: nil
    }
  }

  /// Most values in one setting: a text of a few lines, whose aliases stand for lists of aliases, may
  /// have thousands of millions.
  private static let mostValues = 100_000

  private static func value(_ node: Node, _ path: String) throws(ConfigurationError) -> JSONValue {
    var room = mostValues
    guard let value = value(node, &room) else {
      throw .malformedFile(
        path: path,
        reason: "line \(node.mark?.line ?? 1), column \(node.mark?.column ?? 1): there are more "
          + "than \(mostValues) values, with what aliases stand for")
    }
    return value
  }

  /// - Parameter room: how many values there may be; nil is returned where there are more.
  private static func value(_ node: Node, _ room: inout Int) -> JSONValue? {
    room -= 1
    if room < 0 { return nil }
    switch node {
    case .mapping(let mapping):
      var members: [String: JSONValue] = [:]
      for (key, value) in mapping {
        guard let value = self.value(value, &room) else { return nil }
        members[key.string ?? ""] = value
      }
      return .object(members)
    case .sequence(let sequence):
      var elements: [JSONValue] = []
      for element in sequence {
        guard let value = value(element, &room) else { return nil }
        elements.append(value)
      }
      return .array(elements)
    case .scalar(let scalar):
      guard scalar.style == .plain || scalar.style == .any else { return .string(scalar.string) }
      if isNull(scalar) { return .null }
      if let whole = Int(scalar.string) { return .int(whole) }
      if let number = Double(scalar.string) { return .double(number) }
      return flag(scalar).map { .bool($0) } ?? .string(scalar.string)
    case .alias: return .null
    }
  }

  /// The settings as a YAML text in the table's order, one key a line.
  ///
  /// - Parameter values: what to write, by key.
  public static func yaml(_ values: [String: JSONValue]) -> String {
    var lines: [String] = []
    for option in RunOption.all {
      // JSON is YAML, and quotes whatever needs it.
      if let value = values[option.key] { lines.append("\(option.key): \(value.text())") }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
