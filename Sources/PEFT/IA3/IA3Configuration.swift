import JSON
import Model

/// (IA)³'s fields, as `IA3Config` of Hugging Face PEFT 0.21 names them.
struct IA3Configuration {
  /// Which projections are scaled.
  var targeting: ModuleTargeting
  /// `feedforward_modules`: those scaled on their input; nil stands for the family's default.
  var feedForward: ModuleTargeting.Selector?
  var modulesToSave: [String]
  /// `init_ia3_weights`: ones, or N(0, 1).
  var startsAtOne: Bool

  /// What a user may set.
  static let fields = MethodField.joined([
    .targeting,
    [
      MethodField("feedforward_modules", .names, "NAMES", "targets whose input is scaled"),
      MethodField("init_ia3_weights", .flag, default: true, "", "start at ones"),
    ], .storageOrder,
  ])

  /// Reads and checks every field.
  init(_ options: MethodOptions) throws(PEFTError) {
    try options.readCommon(peftType: "IA3")
    targeting = try ModuleTargeting(options, hasLayers: false)
    if let value = options.value("feedforward_modules") {
      if let expression = value.string {
        feedForward = .expression(expression)
      } else {
        feedForward = .list(try options.strings("feedforward_modules") ?? [])
      }
    }
    modulesToSave = targeting.modulesToSave
    startsAtOne = try options.bool("init_ia3_weights")
    // PEFT corrects a wrong value from the layer's type and saves the corrected one; so do we.
    _ = try options.bool("fan_in_fan_out")
    try options.finish()
    if case .list(let names) = feedForward, case .list(let targets) = targeting.targets {
      for name in names where !targets.contains(name) {
        throw .inconsistentFields(
          "feedforward_modules has '\(name)', which is not in target_modules",
          source: options.source)
      }
    }
  }

  /// The selector that decides which side of a projection is scaled.
  ///
  /// - Throws: where none is given and PEFT has no default for the family.
  func feedForward(_ base: DecoderConfiguration) throws(PEFTError) -> ModuleTargeting.Selector {
    if let feedForward { return feedForward }
    guard let names = ReferenceDefaults.of(base).ia3FeedForward else {
      throw .unsupportedBase(
        method: "ia3",
        reason: "there are no default feedforward_modules for \(base.modelType); give them")
    }
    return .list(names)
  }

  /// Whether a projection is scaled on its input: plain *endswith*, without a dot, as PEFT does.
  static func matches(_ path: String, _ selector: ModuleTargeting.Selector) throws(PEFTError)
    -> Bool
  {
    switch selector {
    case .list(let names): names.contains { path.hasSuffix($0) }
    case .expression(let expression): try ModuleTargeting.wholeMatch(path, expression)
    case .allLinear: true
    }
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  func json(baseName: String, targets: JSONValue, feedForward: JSONValue, isTransposed: Bool)
    -> JSONValue
  {
    [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseName),
      "exclude_modules": targeting.savedExclusion, "fan_in_fan_out": .bool(isTransposed),
      "feedforward_modules": feedForward, "inference_mode": true,
      "init_ia3_weights": .bool(startsAtOne),
      "modules_to_save": modulesToSave.isEmpty
        ? nil : .array(modulesToSave.map(JSONValue.string)),
      "peft_type": "IA3", "peft_version": .string(peftVersion), "revision": nil,
      "target_modules": targets, "task_type": "CAUSAL_LM",
    ]
  }
}
