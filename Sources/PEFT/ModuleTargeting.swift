import JSON
import Model

/// Which projections a method adapts, by Hugging Face PEFT's rules.
///
/// - A *list* matches a path that equals an entry or ends with `.` + entry.
/// - A *string* is a regular expression that must match the whole path; `all-linear` stands for every
///   projection but the head.
/// - `exclude_modules` wins. `layers_to_transform`, for lists alone, keeps the given blocks.
public struct ModuleTargeting: Sendable, Hashable {
  /// What selects.
  public enum Selector: Sendable, Hashable {
    /// Suffixes.
    case list([String])
    /// A regular expression.
    case expression(String)
    /// Every projection.
    case allLinear
  }

  /// `target_modules`; nil stands for the family's defaults.
  public var targets: Selector?
  /// `exclude_modules`.
  public var excluded: Selector?
  /// `layers_to_transform`.
  public var layers: [Int]?
  /// `layers_pattern`.
  public var layersPattern: [String]?

  /// Reads the four fields.
  ///
  /// - Parameter hasLayers: whether the method has the last two (IA3 has not).
  public init(_ options: MethodOptions, hasLayers: Bool = true) throws(PEFTError) {
    targets = try Self.selector("target_modules", options)
    excluded = try Self.selector("exclude_modules", options)
    guard hasLayers else { return }
    if let value = options.value("layers_to_transform") {
      let list = value.array ?? [value]
      let numbers = list.compactMap(\.int)
      guard numbers.count == list.count else {
        throw options.wrong("layers_to_transform", value, "a block's number or a list of them")
      }
      layers = numbers.isEmpty ? nil : numbers
    }
    layersPattern = try options.strings("layers_pattern")
    if layers != nil, case .expression = targets {
      throw .inconsistentFields(
        "layers_to_transform works with a list of target_modules, not with a regular expression",
        source: options.source)
    }
    if layersPattern != nil, layers == nil {
      throw .inconsistentFields(
        "layers_pattern is set and layers_to_transform is not", source: options.source)
    }
  }

  /// The matching projections, in the model's order.
  ///
  /// - Parameter defaults: suffixes used where no target is given; nil where the family has none.
  /// - Throws: `nothingTargeted` where no projection matches.
  public func layers(of decoder: Decoder, defaults: [String]?, method: String)
    throws(PEFTError) -> [LinearLayer]
  {
    let all = decoder.linearLayers
    guard let selector = targets ?? defaults.map(Selector.list) else {
      throw .unsupportedBase(
        method: method,
        reason: "there are no default target_modules for \(decoder.configuration.family.rawValue); "
          + "give them")
    }
    if case .list(let names) = selector {
      for name in names {
        for other in ["lm_head", "embed_tokens", "wte", "wpe"]
        where name == other || name.hasSuffix("." + other) {
          throw .unsupportedField(
            name: "target_modules", value: name, expected: "projections inside the blocks",
            source: method)
        }
      }
    }
    var result: [LinearLayer] = []
    for layer in all {
      guard try Self.matches(layer.path, selector) else { continue }
      if let excluded, try Self.matches(layer.path, excluded) { continue }
      if let layers, !layers.contains(layer.block) || !patternMatches(layer.path) { continue }
      result.append(layer)
    }
    if result.isEmpty {
      throw .nothingTargeted(
        patterns: selector.texts,
        available: Array(Set(all.map { lastComponent($0.path) })).sorted())
    }
    return result
  }

  /// How the selection is written to a file: full paths, or from 20 on the shortest suffixes that
  /// select the same projections; lists and expressions as they were given.
  ///
  /// - Parameter shortens: whether suffixes may stand for paths (PEFT keeps IA3's paths).
  public func saved(
    _ layers: [LinearLayer], of decoder: Decoder, defaults: [String]?, shortens: Bool = true
  ) -> JSONValue {
    switch targets {
    case .list(let names): return .array(names.sorted().map(JSONValue.string))
    case .expression(let expression): return .string(expression)
    case nil: return .array((defaults ?? []).sorted().map(JSONValue.string))
    case .allLinear:
      let paths = layers.map(\.path)
      let suffixes = Set(paths.map(lastComponent)).sorted()
      let selected = decoder.linearLayers.filter { layer in
        suffixes.contains(lastComponent(layer.path))
      }
      let usesSuffixes = shortens && paths.count >= 20 && selected.count == paths.count
      return .array((usesSuffixes ? suffixes : paths.sorted()).map(JSONValue.string))
    }
  }

  /// `exclude_modules` as it was given.
  public var savedExclusion: JSONValue {
    switch excluded {
    case .list(let names): .array(names.map(JSONValue.string))
    case .expression(let expression): .string(expression)
    default: .null
    }
  }

  private static func selector(_ name: String, _ options: MethodOptions) throws(PEFTError)
    -> Selector?
  {
    guard let value = options.value(name) else { return nil }
    if let text = value.string {
      return text.lowercased() == "all-linear" ? .allLinear : .expression(text)
    }
    guard let names = try options.strings(name) else { return nil }
    if names.count == 1, names[0].lowercased() == "all-linear" { return .allLinear }
    return names.isEmpty ? nil : .list(names)
  }

  private static func matches(_ path: String, _ selector: Selector) throws(PEFTError) -> Bool {
    switch selector {
    case .allLinear: true
    case .list(let names): names.contains { path == $0 || path.hasSuffix("." + $0) }
    case .expression(let expression): try wholeMatch(path, expression)
    }
  }

  private func patternMatches(_ path: String) -> Bool {
    guard let layersPattern else { return true }
    return layersPattern.contains { path.contains("\($0).") }
  }

  /// Whether a regular expression matches a whole path, as Python's `re.fullmatch`.
  static func wholeMatch(_ path: String, _ expression: String) throws(PEFTError) -> Bool {
    do {
      return try Regex(expression).wholeMatch(in: path) != nil
    } catch {
      throw .unsupportedField(
        name: "target_modules", value: expression, expected: "a regular expression (\(error))",
        source: "the configuration")
    }
  }
}

extension ModuleTargeting.Selector {
  /// The selector's words, for messages.
  var texts: [String] {
    switch self {
    case .list(let names): names
    case .expression(let expression): [expression]
    case .allLinear: ["all-linear"]
    }
  }
}

/// The last component of a module path.
func lastComponent(_ path: String) -> String {
  path.split(separator: ".").last.map(String.init) ?? path
}
