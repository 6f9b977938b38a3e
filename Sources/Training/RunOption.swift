import JSON

/// One setting of `train`: an option of the command line and a key of the YAML file.
///
/// The table `RunOption.all` is the only place that lists them: names, defaults, help, the order in
/// which a resolved configuration is written, and what a resumed run may change all come from it.
public struct RunOption: Sendable {
  /// What a value looks like.
  public enum Kind: Sendable, Hashable {
    /// `true` or `false`; on the command line the option alone.
    case flag
    /// A whole number in a range, both ends included.
    case integer(minimum: Int, maximum: Int = Int(Int32.max))
    /// A finite number in a range, both ends included.
    case number(minimum: Double, maximum: Double)
    /// Any text.
    case text
    /// One of some names.
    case choice([String])
    /// A name, or `true` or `false`.
    case textOrFlag
    /// A file or directory.
    case path
    /// A path, or nothing: `--resume` alone.
    case optionalPath
    /// Module names, or one text that selects them (a regular expression, `all-linear`).
    case names
    /// A whole number or several.
    case integers
    /// A JSON object.
    case object

    /// What is expected, for errors.
    public var expectation: String {
      switch self {
      case .flag: "true or false"
      case .integer(let minimum, let maximum):
        maximum == .max
          ? "a whole number, at least \(minimum)"
          : "a whole number from \(minimum) to \(maximum)"
      case .number(let minimum, let maximum):
        maximum == .infinity
          ? "a number, at least \(minimum)" : "a number from \(minimum) to \(maximum)"
      case .text: "a text"
      case .textOrFlag: "a name, true or false"
      case .choice(let names): "one of \(names.joined(separator: ", "))"
      case .path, .optionalPath: "a path"
      case .names: "names, separated by commas, or a regular expression"
      case .integers: "whole numbers, separated by commas"
      case .object: "a JSON object"
      }
    }
  }

  /// What happens when a run is resumed with another value.
  public enum Resumption: Sendable {
    /// Nothing: the value does not touch the mathematics, or is checked by fingerprint.
    case free
    /// The run goes on and says what changes.
    case warns
    /// The run is refused: it would not be the same run.
    case mustMatch
  }

  /// Whose option it is.
  public enum Group: Sendable {
    /// Of every run.
    case run
    /// A field of the method's configuration, in Hugging Face's spelling.
    case method
  }

  /// The YAML key; the option is the same with dashes.
  public let key: String
  /// What a value looks like.
  public let kind: Kind
  /// The value when nobody gives one; nil when there is none.
  public let defaultValue: JSONValue?
  /// The placeholder that help shows.
  public let valueName: String
  /// One line for help.
  public let help: String
  /// Whose option it is.
  public let group: Group
  /// What a resumed run may change.
  public let resumption: Resumption
  /// The field of the method's configuration; all but one are spelled as the key.
  public let fieldName: String

  init(
    _ key: String, _ kind: Kind, default defaultValue: JSONValue? = nil, _ valueName: String,
    _ help: String, group: Group = .run, resumption: Resumption = .free,
    fieldName: String? = nil
  ) {
    self.fieldName = fieldName ?? key
    self.key = key
    self.kind = kind
    self.defaultValue = defaultValue
    self.valueName = valueName
    self.help = help
    self.group = group
    self.resumption = resumption
  }

  /// The option as it is typed.
  public var optionName: String { "--" + key.replacing("_", with: "-") }

  /// The option of a key.
  public static func named(_ key: String) -> RunOption? { byKey[key] }

  /// The key among ours that is spelled most like `name`, if one is near enough to be meant.
  public static func nearest(to name: String) -> String? {
    nearestName(to: name.replacing("-", with: "_"), among: all.map(\.key))
  }

  private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })
}
