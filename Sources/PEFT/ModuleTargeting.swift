import JSON
import Model
import Patterns

/// Which projections a method adapts, by Hugging Face PEFT's rules: those of the blocks and, named, the
/// head and the token table.
///
/// - A *list* matches a path that equals an entry or ends with `.` + entry.
/// - A *string* is a regular expression of Python's `re` that must match the whole path; `all-linear`
///   stands for every projection but the head.
/// - `exclude_modules` wins. `layers_to_transform`, for lists alone, keeps the given blocks.
package struct ModuleTargeting: Sendable, Hashable {
  /// What selects.
  package enum Selector: Sendable, Hashable {
    /// Suffixes.
    case list([String])
    /// A regular expression.
    case expression(String)
    /// Every projection.
    case allLinear
  }

  /// `target_modules`; nil stands for the family's defaults.
  package var targets: Selector?
  /// `exclude_modules`.
  package var excluded: Selector?
  /// `layers_to_transform`.
  package var layers: [Int]?
  /// `layers_pattern`.
  package var layersPattern: [String]?
  /// `modules_to_save`: trained in full and so never adapted.
  package var modulesToSave: [String] = []

  /// Reads the five fields.
  ///
  /// - Parameter options: the method's fields as given.
  /// - Parameter hasLayers: whether the method has `layers_to_transform` and `layers_pattern` (IA3
  ///   has not).
  package init(_ options: MethodOptions, hasLayers: Bool = true) throws(PEFTError) {
    modulesToSave = try options.strings("modules_to_save") ?? []
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
    // An empty list says nothing, as in PEFT, whose files have one.
    layersPattern = try options.strings("layers_pattern").flatMap { $0.isEmpty ? nil : $0 }
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

  /// What a selection comes to on a model.
  package struct Selection {
    /// Projections, in the model's order; the head, if it is one of them, is the last.
    package var layers: [LinearLayer]
    /// Whether the token table is adapted.
    package var hasTable = false
    /// Whether a head that is tied to the table shares its adapter.
    package var tiesHead = false
  }

  /// The matching projections, for a method that adapts nothing else.
  ///
  /// - Throws: as `selection(of:defaults:method:ensuresTying:)`, and where the token table matches.
  package func layers(of decoder: Decoder, defaults: [String]?, method: String)
    throws(PEFTError) -> [LinearLayer]
  {
    let selection = try selection(of: decoder, defaults: defaults, method: method)
    if selection.hasTable { throw refusal(of: decoder.tablePath, defaults, method) }
    return selection.layers
  }

  /// The matching modules.
  ///
  /// - Parameters:
  ///   - decoder: the base.
  ///   - defaults: suffixes used where no target is given; nil where the family has none.
  ///   - method: the method's name, for messages.
  ///   - ensuresTying: whether a tied head goes along with the token table.
  ///   - mayBeEmpty: whether something else than modules is adapted.
  /// - Throws: `nothingTargeted` where no module matches, `unsupportedField` where learned positions
  ///   do.
  package func selection(
    of decoder: Decoder, defaults: [String]?, method: String, ensuresTying: Bool = false,
    mayBeEmpty: Bool = false
  ) throws(PEFTError) -> Selection {
    let all = decoder.linearLayers + [decoder.head]
    guard let selector = targets ?? defaults.map(Selector.list) else {
      throw .unsupportedBase(
        method: method,
        reason: "there are no default target_modules for \(decoder.configuration.modelType); give "
          + "them: all-linear, or some of "
          + Set(all.map { lastComponent($0.path) }).sorted().joined(separator: ", "))
    }
    for parameter in decoder.parameters {
      let path = modulePath(parameter.name)
      if selector != .allLinear, lastComponent(path) == "wpe", try selects(path, selector) {
        throw refusal(of: path, defaults, method)
      }
    }
    var selection = Selection(layers: [])
    for layer in all where try selects(layer.path, selector) {
      // PEFT's word for every projection leaves the head out.
      if layer === decoder.head && selector == .allLinear { continue }
      selection.layers.append(layer)
    }
    if selector != .allLinear { selection.hasTable = try selects(decoder.tablePath, selector) }
    if ensuresTying && decoder.isHeadTied, try WeightTying.concerns(selector) {
      selection.tiesHead = true
      selection.hasTable = true
      selection.layers.removeAll { $0 === decoder.head }
      if try isExcluded(decoder.tablePath) {
        throw .inconsistentFields(
          "ensure_weight_tying ties \(decoder.head.path) to \(decoder.tablePath), which is excluded "
            + "from target_modules", source: method)
      }
    }
    if selection.layers.isEmpty && !selection.hasTable && !mayBeEmpty {
      throw .nothingTargeted(
        selection: description(selector),
        available: Set((all.map(\.path) + [decoder.tablePath]).map(lastComponent)).sorted())
    }
    return selection
  }

  /// The error for a module that is selected and cannot be adapted, though PEFT adapts it.
  private func refusal(of path: String, _ defaults: [String]?, _ method: String) -> PEFTError {
    .unsupportedField(
      name: "target_modules", value: "\((targets ?? .list(defaults ?? [])).texts)",
      expected: "modules that \(method) adapts, and \(path) is none", source: method)
  }

  /// Whether a module is asked for and not excluded.
  ///
  /// A full path in a list stands for itself, whatever `layers_to_transform` says, as in PEFT.
  private func selects(_ path: String, _ selector: Selector) throws(PEFTError) -> Bool {
    if try isExcluded(path) { return false }
    if case .list(let names) = selector, names.contains(path) { return true }
    guard try Self.matches(path, selector) else { return false }
    guard let layers else { return true }
    return try blockNumber(path).map(layers.contains) ?? false
  }

  /// Whether `exclude_modules` names a module, or `modules_to_save` names it or a module around it.
  private func isExcluded(_ path: String) throws(PEFTError) -> Bool {
    if let excluded, try Self.matches(path, excluded) { return true }
    for module in modulesToSave where try Self.isAround(module, path) { return true }
    return false
  }

  /// Whether an entry of `modules_to_save` names a module or a module around it.
  static func isAround(_ entry: String, _ path: String) throws(PEFTError) -> Bool {
    try match(path, "(^|.*\\.)\(entry)($|\\..*)", field: "modules_to_save") != nil
  }

  /// The selection in the words of its fields.
  private func description(_ selector: Selector) -> String {
    var text = "target_modules \(selector.texts)"
    if let excluded { text += ", less exclude_modules \(excluded.texts)," }
    if !modulesToSave.isEmpty { text += ", less modules_to_save \(modulesToSave)," }
    if let layers { text += ", with layers_to_transform \(layers)" }
    if let layersPattern { text += " and layers_pattern \(layersPattern)" }
    return text
  }

  /// Names and numbers of the selection that nothing answers to, each a sentence; PEFT passes over
  /// them in silence.
  func unmatched(in decoder: Decoder) -> [String] {
    let paths = decoder.linearLayers.map(\.path) + [decoder.head.path, decoder.tablePath]
    var sentences: [String] = []
    for (field, selector) in [("target_modules", targets), ("exclude_modules", excluded)] {
      guard case .list(let names) = selector else { continue }
      for name in names where !paths.contains(where: { $0 == name || $0.hasSuffix("." + name) }) {
        sentences.append(
          "'\(name)' of \(field) matches no module of this model that can be adapted.")
      }
    }
    for block in layers ?? [] where block < 0 || block >= decoder.configuration.blockCount {
      sentences.append(
        "\(block) of layers_to_transform is no block of this model, which has "
          + "\(decoder.configuration.blockCount).")
    }
    return sentences
  }

  /// How the selection is written to a file: full paths, or from 20 on the shortest suffixes that
  /// select the same projections; lists and expressions as they were given.
  ///
  /// - Parameters:
  ///   - layers: what was selected.
  ///   - decoder: the base.
  ///   - defaults: suffixes used where no target is given; nil where the family has none.
  ///   - shortens: whether suffixes may stand for paths (PEFT keeps IA3's paths).
  package func saved(
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
  package var savedExclusion: JSONValue {
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

  /// The number that follows `layers_pattern` in a path, or the first number where none is given; nil
  /// where there is none.
  private func blockNumber(_ path: String) throws(PEFTError) -> Int? {
    let field = "layers_pattern"
    var expressions = [".*?\\.[^.]*\\.(?P<idx>\\d+)\\."]
    if let layersPattern, !layersPattern.isEmpty {
      expressions = layersPattern.map { "(?:^|.*?\\.)\($0)\\.(?P<idx>\\d+)\\." }
    }
    for expression in expressions {
      guard let match = try Self.match(path, expression, field: field) else { continue }
      return match["idx"].flatMap { Int($0) }
    }
    return nil
  }

  /// Whether a regular expression matches a whole path: Python's `re.fullmatch`.
  static func wholeMatch(
    _ path: String, _ expression: String, field: String = "target_modules"
  ) throws(PEFTError) -> Bool {
    do throws(RegexError) { return try PythonPattern.kept(expression).matchesWhole(path) } catch {
      throw unreadable(expression, field, error)
    }
  }

  /// The match of a regular expression at the beginning of a path: Python's `re.match`.
  private static func match(
    _ path: String, _ expression: String, field: String
  ) throws(PEFTError) -> PythonPattern.Match? {
    do throws(RegexError) { return try PythonPattern.kept(expression).match(path) } catch {
      throw unreadable(expression, field, error)
    }
  }

  private static func unreadable(
    _ expression: String, _ field: String, _ error: RegexError
  ) -> PEFTError {
    .unsupportedField(
      name: field, value: expression,
      expected: "a regular expression of Python's re (\(error))", source: "the configuration")
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
