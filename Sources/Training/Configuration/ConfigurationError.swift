import Diagnostics
import PEFT

/// Where a setting was written.
public enum SettingSource: Sendable, Hashable, CustomStringConvertible {
  /// On the command line.
  case commandLine
  /// In a YAML file, with line and column, from 1, where they are known.
  case file(path: String, line: Int?, column: Int? = nil)
  /// In a program that trains by itself.
  case code

  /// For example `in run.yaml, line 3, column 9`.
  public var description: String {
    switch self {
    case .commandLine: "on the command line"
    case .file(let path, let line, let column):
      "in \(path)" + (line.map { ", line \($0)" } ?? "") + (column.map { ", column \($0)" } ?? "")
    case .code: "in the program's settings"
    }
  }

  /// How a key is spelled there.
  func spelling(_ key: String) -> String {
    self == .commandLine ? "--" + key.replacing("_", with: "-") : "'\(key)'"
  }
}

/// What can be wrong with a run's settings.
public enum ConfigurationError: ClassifiedError {
  /// No setting has this name.
  case unknownKey(name: String, source: SettingSource, nearest: String?)
  /// No method has this name.
  case unknownMethod(name: String, source: SettingSource, nearest: String?)
  /// A setting has a value of another kind.
  case wrongType(key: String, found: String, expected: String, source: SettingSource)
  /// The configuration file cannot be read.
  case unreadableFile(path: String, reason: String)
  /// The configuration file is not YAML of the expected form.
  case malformedFile(path: String, reason: String)
  /// Two settings exclude each other.
  case conflict(String, remedy: String)

  /// All of them are the user's.
  public var errorClass: ErrorClass { .usage }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .unknownKey(let name, let source, let nearest):
      "Unknown \(source == .commandLine ? "option" : "key") \(source.spelling(name)) \(source). "
        + ConfigurationError.remedy(name, source, nearest: nearest)
    case .unknownMethod(let name, let source, let nearest):
      "There is no method '\(name)' (\(source)). "
        + (nearest.map { "Did you mean '\($0)'?" }
          ?? "The methods are \(PEFTMethods.names.joined(separator: ", ")).")
    case .wrongType(let key, let found, let expected, let source):
      "\(source.spelling(key)) \(source) is \(found); it must be \(expected)."
    case .unreadableFile(let path, let reason): "Cannot read the configuration \(path): \(reason)."
    case .malformedFile(let path, let reason):
      "The configuration \(path) is not a YAML mapping of keys to values: \(reason)."
    case .conflict(let what, let remedy): "\(what). \(remedy)."
    }
  }

  private static func remedy(_ name: String, _ source: SettingSource, nearest: String?) -> String {
    switch RunOption.translation(of: name) {
    case .key(let key)?: "Here it is called \(source.spelling(key))."
    case .advice(let advice)?: "Instead, \(advice)."
    case nil:
      nearest.map { "Did you mean \(source.spelling($0))?" }
        ?? "'swift-peft-train train --help' lists them all."
    }
  }
}
