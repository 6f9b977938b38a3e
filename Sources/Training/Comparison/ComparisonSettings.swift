import Diagnostics
import JSON
import PEFT

/// What to compare: the methods, the settings that they share, and those of one method alone.
///
/// ```swift
/// var settings = ComparisonSettings()
/// try settings.read(yamlFile: "compare.yaml")
/// try settings.set("lora.r=16", source: .commandLine)
/// let run = try settings.settings(for: "lora")
/// ```
///
/// All methods have the same budget: whatever decides what data a method sees, for how long, and how
/// it is evaluated is shared. A learning rate, the optimiser's constants and the fields of a method
/// may be its own. It knows settings; running them is the business of `MethodComparison`.
public struct ComparisonSettings: Sendable {
  /// The methods, in the order of the table.
  public private(set) var methods: [String] = PEFTMethods.names
  /// What all methods share.
  public var shared = RunSettings()
  /// Most questions that are asked for the score; 0 asks none.
  public var maximumQuestions = 200
  private var own: [String: RunSettings] = [:]
  /// Methods of which the user set something.
  private var mentioned: Set<String> = []

  /// The key of the YAML file's section for `compare`.
  public static let section = "compare"

  /// Every method, nothing set.
  public init() {}

  /// Keys besides the methods' own fields that one method may have for itself.
  static let ownKeys: Set<String> = [
    "learning_rate", "optimizer", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay",
    "max_grad_norm", "lr_scheduler_type", "warmup_steps", "warmup_ratio",
  ]

  /// Keys of `train` that make no sense for several methods, and what to use instead.
  private static let refused: KeyValuePairs<String, String> = [
    "method": "Name the methods with --methods",
    "adapter": "Every method starts afresh: leave it out",
    "peft_config": "Give fields with --set METHOD.FIELD=VALUE",
  ]

  /// Reads a YAML file: the keys of `train`, and a section `compare`.
  ///
  ///     global_batch_size: 16
  ///     compare:
  ///       methods: [lora, ia3]
  ///       lora: {r: 16, learning_rate: 1e-3}
  ///
  /// - Throws: `ConfigurationError`, with the line of what is wrong.
  public mutating func read(yamlFile path: String) throws(ConfigurationError) {
    try read(yaml: RunSettings.text(ofFile: path), path: path)
  }

  /// Reads YAML text; `path` is what errors call it.
  ///
  /// - Throws: `ConfigurationError`, with the line of what is wrong.
  public mutating func read(yaml text: String, path: String) throws(ConfigurationError) {
    guard let mapping = try RunSettings.mapping(yaml: text, path: path) else { return }
    try shared.read(mapping, path: path, except: Self.section)
    guard let node = mapping.first(where: { $0.key.string == Self.section })?.value else { return }
    guard let section = node.mapping else {
      throw .malformedFile(path: path, reason: "the section '\(Self.section)' is no mapping")
    }
    for (keyNode, valueNode) in section {
      let source = RunSettings.source(of: keyNode, path: path)
      let key = keyNode.string ?? ""
      switch key {
      case "methods":
        let names = valueNode.sequence?.map { $0.string ?? "" } ?? [valueNode.string ?? ""]
        try choose(names.joined(separator: ","), source: source)
      case "max_score_examples":
        guard let count = valueNode.int, count >= 0 else {
          throw .wrongType(
            key: key, found: valueNode.string ?? "no number",
            expected: "a whole number, at least 0", source: source)
        }
        maximumQuestions = count
      default:
        try checkMethod(key, source: source, alsoKnown: ["methods", "max_score_examples"])
        guard let fields = valueNode.mapping else {
          throw .malformedFile(path: path, reason: "'\(Self.section).\(key)' is no mapping")
        }
        var settings = RunSettings()
        try settings.read(fields, path: path)
        for key in settings.entries.keys.sorted() {
          try checkOwn(key, source: settings.source(of: key))
        }
        own[key, default: RunSettings()].merge(settings)
        mentioned.insert(key)
      }
    }
  }

  /// Takes the methods of a list such as `lora,ia3`.
  ///
  /// - Throws: `ConfigurationError` where a name is unknown or comes twice.
  public mutating func choose(_ list: String, source: SettingSource) throws(ConfigurationError) {
    let names = list.split { ", ".contains($0) }.map(String.init)
    for name in names { try checkMethod(name, source: source) }
    guard !names.isEmpty, Set(names).count == names.count else {
      throw .wrongType(
        key: "methods", found: "'\(list)'",
        expected: "names of methods, each once (\(PEFTMethods.names.joined(separator: ", ")))",
        source: source)
    }
    methods = names
  }

  /// Sets a key of one method: `lora.r=16`, `ia3.learning_rate=1e-2`.
  ///
  /// - Parameters:
  ///   - text: `METHOD.KEY=VALUE`.
  ///   - source: where it was said, for messages.
  ///   - isSuggestion: whether it is of no account where the method is not compared.
  /// - Throws: `ConfigurationError` for unknown names and keys that all methods share.
  public mutating func set(
    _ text: String, source: SettingSource, isSuggestion: Bool = false
  ) throws(ConfigurationError) {
    guard let equals = text.firstIndex(of: "="),
      let dot = text[..<equals].firstIndex(of: ".")
    else {
      throw .wrongType(
        key: "set", found: "'\(text)'", expected: "METHOD.FIELD=VALUE, as in lora.r=16",
        source: source)
    }
    let method = String(text[..<dot])
    let key = String(text[text.index(after: dot)..<equals]).replacing("-", with: "_")
    try checkMethod(method, source: source)
    guard RunOption.named(key) != nil else {
      throw .unknownKey(name: key, source: source, nearest: RunOption.nearest(to: key))
    }
    try checkOwn(key, source: source)
    if !isSuggestion { mentioned.insert(method) }
    try own[method, default: RunSettings()].set(
      key, text: String(text[text.index(after: equals)...]), source: source)
  }

  /// Sets learning rates by method, as in `lora=1e-3,ia3=1e-2`.
  ///
  /// - Throws: `ConfigurationError` for unknown names and what is no number.
  public mutating func setLearningRates(
    _ list: String, source: SettingSource
  ) throws(ConfigurationError) {
    for part in list.split(whereSeparator: { ", ".contains($0) }) {
      let sides = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard sides.count == 2 else {
        throw .wrongType(
          key: "learning_rates", found: "'\(part)'", expected: "METHOD=RATE, as in lora=1e-3",
          source: source)
      }
      try set("\(sides[0]).learning_rate=\(sides[1])", source: source)
    }
  }

  /// The settings of one method's run.
  ///
  /// Fields of methods that were set for all go to those that take them.
  ///
  /// - Parameter method: the method's name.
  /// - Parameter learningRate: what it is where nobody set one.
  /// - Throws: `ConfigurationError`.
  public func settings(
    for method: String, learningRate: Double
  ) throws(ConfigurationError) -> RunSettings {
    var settings = shared
    for option in RunOption.all where option.group == .method && shared.isSet(option.key) {
      if !takes(option, method) { settings.remove(option.key) }
    }
    if let own = own[method] { settings.merge(own) }
    try settings.set("method", value: .string(method), source: .commandLine)
    if !settings.isSet("learning_rate") {
      try settings.set("learning_rate", value: .double(learningRate), source: .commandLine)
    }
    return settings
  }

  /// Checks what can be checked before anything is opened: every method takes its fields, and
  /// every field has a method.
  ///
  /// - Throws: `ConfigurationError`, or the method's own `PEFTError`.
  public func check() throws {
    for (key, advice) in Self.refused where shared.isSet(key) {
      throw ConfigurationError.conflict(
        "compare trains several methods and has no \(shared.source(of: key).spelling(key))",
        remedy: advice)
    }
    if case .string(let path) = shared["resume"], !path.isEmpty {
      throw ConfigurationError.conflict(
        "compare goes on from each method's own newest checkpoint, not from \(path)",
        remedy: "Give --resume alone")
    }
    for method in mentioned.sorted() where !methods.contains(method) {
      throw ConfigurationError.conflict(
        "There are settings for '\(method)', which is not compared (\(methods.joined(separator: ", ")))",
        remedy: "Name it in --methods, or leave its settings out")
    }
    for option in RunOption.all where option.group == .method && shared.isSet(option.key) {
      if !methods.contains(where: { takes(option, $0) }) {
        throw ConfigurationError.conflict(
          "None of the methods compared takes \(shared.source(of: option.key).spelling(option.key)) "
            + "\(shared[option.key]?.text() ?? "")",
          remedy: "Leave it out, or name its method in --methods")
      }
    }
    for method in methods {
      let configuration = try RunConfiguration(settings(for: method, learningRate: 0))
      let fields = configuration.methodFields(of: method)
      _ = try PEFTMethods.make(method, options: MethodOptions(fields, source: "the options"))
    }
  }

  /// Whether a method takes a field with the value that was set for all.
  private func takes(_ option: RunOption, _ method: String) -> Bool {
    option.field(of: method, shared[option.key] ?? .null) != nil
  }

  private func checkMethod(
    _ name: String, source: SettingSource, alsoKnown: [String] = []
  ) throws(ConfigurationError) {
    if PEFTMethods.names.contains(name) { return }
    let known = PEFTMethods.names + alsoKnown
    throw .unknownMethod(name: name, source: source, nearest: nearestName(to: name, among: known))
  }

  private func checkOwn(_ key: String, source: SettingSource) throws(ConfigurationError) {
    guard let option = RunOption.named(key) else { return }
    if option.group == .method || Self.ownKeys.contains(key) { return }
    throw .conflict(
      "\(source.spelling(key)) \(source) is set for one method, and all methods share it",
      remedy: "Set it for all of them: without the method's name")
  }
}
