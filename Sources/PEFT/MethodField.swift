import JSON

/// A field of a method's configuration, declared once, in the method's own folder.
///
/// The command line, the keys of a YAML file, `--help`, what `compare` hands to which method, and the
/// reading of an `adapter_config.json` all follow from the declaration. Two methods may each declare a
/// field of one name, with kinds, defaults and meanings of their own.
public struct MethodField: Sendable, Hashable {
  /// Hugging Face's name, which files have.
  public let name: String
  /// What a value looks like.
  public let kind: FieldKind
  /// What stands where nobody gives a value; nil where the method finds it out.
  public let defaultValue: JSONValue?
  /// The placeholder that help shows; empty for a flag.
  public let valueName: String
  /// One line for help, without the default.
  public let help: String
  /// The YAML key: the name, with an underscore before each capital letter.
  public let key: String

  /// Declares a field.
  public init(
    _ name: String, _ kind: FieldKind, default defaultValue: JSONValue? = nil,
    _ valueName: String, _ help: String
  ) {
    self.name = name
    self.kind = kind
    self.defaultValue = defaultValue
    self.valueName = valueName
    self.help = help
    key = name.reduce(into: "") { text, character in
      if character.isUppercase && text.last?.isLowercase == true { text += "_" }
      text += character.lowercased()
    }
  }

  /// The fields of several groups.
  static func joined(_ groups: [[MethodField]]) -> [MethodField] { groups.flatMap(\.self) }

  /// The help with what stands where nobody gives a value.
  public var helpWithDefault: String {
    guard let defaultValue, kind != .flag else { return help }
    return "\(help) (default: \(defaultValue.string ?? defaultValue.text()))"
  }
}

extension [MethodField] {
  /// Which projections are adapted (`ModuleTargeting`).
  static let targeting: [MethodField] = [
    MethodField(
      "target_modules", .names, "NAMES", "modules to adapt: names, a pattern, or all-linear"),
    MethodField("exclude_modules", .names, "NAMES", "modules to leave out"),
    MethodField("modules_to_save", .names, "NAMES", "modules to train in full besides"),
  ]
  /// In which blocks.
  static let layers: [MethodField] = [
    MethodField("layers_to_transform", .integers, "N,…", "blocks to adapt (default: all)"),
    MethodField("layers_pattern", .names, "NAME", "the name in front of the block number"),
  ]
  /// Rows of the token table that train by themselves (`TrainedTokens`).
  static let tokens: [MethodField] = [
    MethodField(
      TrainedTokens.field, .integersOrObject, "N,…",
      "tokens whose embeddings train besides: ids, or ids by module as JSON")
  ]
  /// What PEFT asks for and corrects by itself; so do we.
  static let storageOrder: [MethodField] = [
    MethodField(
      "fan_in_fan_out", .flag, "", "weights are stored [in, out]; found out when not given")
  ]
  /// How many virtual tokens (`VirtualTokenFields`).
  static let virtualTokens: [MethodField] = [
    MethodField(
      "num_virtual_tokens", .integer(minimum: 1, maximum: 1 << 16), default: 20, "N",
      "trained tokens in front")
  ]

  /// Whether biases of the base train along (`BaseTensors`).
  static func biases(_ only: String) -> [MethodField] {
    [
      MethodField(
        "bias", .choice(["none", "all", only]), default: "none", "NAME",
        "train biases of the base: none, all, \(only)")
    ]
  }
}
