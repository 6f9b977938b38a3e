import Diagnostics
import JSON
import PEFT

/// One setting of `train`: an option of the command line and a key of the YAML file.
///
/// The table `RunOption.all` is the only place that lists them: names, defaults, help, the order in
/// which a resolved configuration is written, and what a resumed run may change all come from it.
public struct RunOption: Sendable {
  /// What a value looks like.
  public typealias Kind = FieldKind

  /// A method's declaration of the field that the option sets.
  public struct Declaration: Sendable {
    /// The method's name.
    public let method: String
    /// What it declares.
    public let field: MethodField
  }

  /// What happens when a run is resumed with another value.
  public enum Resumption: Sendable {
    /// Nothing: the value does not touch the mathematics, or is checked by fingerprint.
    case free
    /// The run goes on and says what changes.
    case warns
    /// The run is refused unless the change is asked for by name: it would not be the same run.
    case allowable
    /// The run is refused: its state would not fit.
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
  /// The methods that have the field, each with its own kind, default and meaning; none for an option
  /// of every run.
  public let declarations: [Declaration]

  init(
    _ key: String, _ kind: Kind, default defaultValue: JSONValue? = nil, _ valueName: String,
    _ help: String, group: Group = .run, resumption: Resumption = .free,
    declarations: [Declaration] = []
  ) {
    self.declarations = declarations
    self.key = key
    self.kind = kind
    self.defaultValue = defaultValue
    self.valueName = valueName
    self.help = help
    self.group = group
    self.resumption = resumption
  }

  /// The help with the default.
  public var helpWithDefault: String {
    guard let defaultValue, kind != .flag else { return help }
    return "\(help) (default: \(defaultValue.string ?? defaultValue.text()))"
  }

  /// The option as it is typed.
  public var optionName: String { "--" + key.replacing("_", with: "-") }

  /// Whether the option stands alone on the command line, without a value.
  public var isFlag: Bool {
    declarations.isEmpty ? kind == .flag : declarations.allSatisfy { $0.field.kind == .flag }
  }

  /// The kinds that a value may have: of a field, those of all methods that declare it.
  private var kinds: [Kind] { declarations.isEmpty ? [kind] : declarations.map(\.field.kind) }

  /// What is expected, for errors.
  public var expectation: String {
    var texts: [String] = []
    for kind in kinds where !texts.contains(kind.expectation) { texts.append(kind.expectation) }
    return texts.joined(separator: ", or ")
  }

  /// Reads a text as a value of this option; nil when it is none.
  func value(of text: String) -> JSONValue? {
    kinds.lazy.compactMap { $0.value(of: text) }.first
  }

  /// Takes a typed value as one of this option; nil when it is none.
  func value(of value: JSONValue) -> JSONValue? {
    kinds.lazy.compactMap { $0.value(of: value) }.first
  }

  /// The option of a key.
  public static func named(_ key: String) -> RunOption? { byKey[key] }

  /// The key among ours that is spelled most like `name`, if one is near enough to be meant.
  public static func nearest(to name: String) -> String? {
    nearestName(to: name.replacing("-", with: "_"), among: all.map(\.key))
  }

  private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })
}
