import JSON
import Model

/// How LoRA's tensors start.
enum LoRAInitialization: Sendable, Hashable {
  /// A ~ U(±1/√in), B = 0.
  case kaiming
  /// A ~ N(0, 1/R²), B = 0.
  case gaussian
  /// A ~ U(±1/√in), B ~ U(±1/√R): not an identity.
  case random
  /// The weight's leading singular triplets (PiSSA), exact or of so many power iterations.
  case pissa(iterations: Int?)
  /// The front of the weight's QR decomposition (OLoRA).
  case olora
  /// A start that leaves the base alone and that only PEFT makes; of a file, which holds the tensors,
  /// it says nothing.
  case foreign(String)
}

/// LoRA's fields, as `LoraConfig` of Hugging Face PEFT 0.21 names them.
struct LoRAConfiguration {
  var r: Int
  var alpha: Double
  var dropout: Double
  var bias: String
  var usesRSLoRA: Bool
  var hasBias: Bool
  /// `use_dora`.
  var usesDoRA: Bool
  /// `loraplus_lr_ratio`: LoRA+'s factor on the learning rate of B; ours, and in no file of PEFT's.
  var plusRatio: Double
  var rankPattern: [String: Double]
  var alphaPattern: [String: Double]
  var targeting: ModuleTargeting
  var modulesToSave: [String]
  /// `trainable_token_indices`.
  var tokens: TrainedTokens
  /// `ensure_weight_tying`.
  var ensuresTying: Bool
  /// `target_parameters`: tensors of experts, by name.
  var targetParameters: [String]
  /// `fan_in_fan_out` as given, which only a selection without projections leaves as it is.
  var isTransposed: Bool
  var initialization: LoRAInitialization
  /// Fields that are kept as given and change nothing.
  var qaloraGroupSize: Int

  /// What a user may set.
  static let fields = MethodField.joined([
    [
      MethodField(
        "r", .integer(minimum: 1, maximum: 1 << 24), default: 8, "R",
        "rank of the low-rank matrices"),
      MethodField("lora_alpha", .anyNumber, default: 8, "X", "scaling is alpha / r"),
      MethodField("lora_dropout", .probability, default: 0.0, "P", "dropout in front of A"),
    ], .targeting, .layers,
    [
      MethodField(
        "target_parameters", .names, "NAMES",
        "tensors of experts to adapt: experts.gate_up_proj, experts.down_proj, gate.weight")
    ],
    [
      MethodField("use_rslora", .flag, "", "scaling is alpha / sqrt(r)"),
      MethodField("use_dora", .flag, "", "train a magnitude for each output"),
      MethodField("lora_bias", .flag, "", "train a bias on B"),
    ], .biases("lora_only"),
    [
      MethodField(
        "init_lora_weights", .textOrFlag, default: true, "NAME",
        "true, false, gaussian, pissa, pissa_niter_N or olora"),
      MethodField("rank_pattern", .object, "JSON", "rank by module pattern"),
      MethodField("alpha_pattern", .object, "JSON", "alpha by module pattern"),
      MethodField(
        "loraplus_lr_ratio", .number(minimum: 1e-6, maximum: 1e6), default: 1.0, "X",
        "learning rate of B over that of A"),
    ], .tokens,
    [
      MethodField(
        "ensure_weight_tying", .flag, "",
        "adapt a head that is tied to the token table along with it")
    ], .storageOrder,
  ])

  /// Reads and checks every field; what would change the mathematics and is not built is refused.
  init(_ options: MethodOptions) throws(PEFTError) {
    try options.readCommon(peftType: "LORA")
    r = try options.int("r")
    alpha = try options.double("lora_alpha")
    dropout = try options.double("lora_dropout")
    bias = try options.word("bias")
    usesRSLoRA = try options.bool("use_rslora")
    hasBias = try options.bool("lora_bias")
    usesDoRA = try options.bool("use_dora")
    plusRatio = try options.double("loraplus_lr_ratio")
    rankPattern = try options.numbers("rank_pattern")
    alphaPattern = try options.numbers("alpha_pattern")
    targeting = try ModuleTargeting(options)
    modulesToSave = targeting.modulesToSave
    tokens = try TrainedTokens(options)
    ensuresTying = try options.bool("ensure_weight_tying")
    targetParameters = try options.checkedStrings("target_parameters")
    // PEFT corrects a wrong value from the layer's type and saves the corrected one; so do we.
    isTransposed = try options.bool("fan_in_fan_out")
    switch options.value("init_lora_weights") ?? .bool(true) {
    case .bool(true), .string("true"): initialization = .kaiming
    case .bool(false), .string("false"): initialization = .random
    case .string("gaussian"): initialization = .gaussian
    case .string("pissa"): initialization = .pissa(iterations: nil)
    case .string("olora"): initialization = .olora
    case .string(let word) where Self.iterations(word) != nil:
      initialization = .pissa(iterations: Self.iterations(word))
    case .string(let word) where ["orthogonal", "eva", "mica"].contains(word):
      initialization = .foreign(word)
    case let other:
      throw options.wrong(
        "init_lora_weights", other, "true, false, gaussian, pissa, pissa_niter_N, olora")
    }
    qaloraGroupSize = try options.int("qalora_group_size", default: 16)
    options.ignore("megatron_core", "eva_config")
    try options.refuse(
      "loftq_config", "layer_replication", "megatron_config",
      "alora_invocation_tokens", "arrow_config", "corda_config", "lora_ga_config", "kasa_config",
      "velora_config", "monteclora_config", "use_bdlora", "use_qalora", expected: "null or false")
    try options.finish()
    if usesDoRA && hasBias {
      throw .inconsistentFields(
        "use_dora and lora_bias are both set, which PEFT does not allow", source: options.source)
    }
    if startsInBase && (usesDoRA || hasBias) {
      throw .inconsistentFields(
        "init_lora_weights takes its start from the base's weights, which goes neither with use_dora "
          + "nor with lora_bias", source: options.source)
    }
    for (name, pattern) in [("rank_pattern", rankPattern), ("alpha_pattern", alphaPattern)] {
      for (key, value) in pattern where name == "rank_pattern" && Int(exactly: value) ?? 0 < 1 {
        throw .unsupportedField(
          name: "\(name).\(key)", value: "\(value)", expected: "a positive whole number",
          source: options.source)
      }
    }
  }

  /// Whether A and B start as factors of the weight, which is then less by as much.
  var startsInBase: Bool {
    switch initialization {
    case .pissa, .olora: true
    default: false
    }
  }

  /// The field, if any, that keeps the token table from being adapted.
  ///
  /// PEFT refuses a bias there, starts it as it always does whatever the base's weights, and has its
  /// helper for LoRA+ train it at a rate of its own.
  var fieldWithoutTable: String? {
    if hasBias { return "lora_bias" }
    if startsInBase { return "init_lora_weights" }
    return plusRatio == 1 ? nil : "loraplus_lr_ratio"
  }

  /// N of `pissa_niter_N`.
  private static func iterations(_ word: String) -> Int? {
    let prefix = "pissa_niter_"
    guard word.hasPrefix(prefix), let count = Int(word.dropFirst(prefix.count)) else { return nil }
    return (0...1 << 16).contains(count) ? count : nil
  }

  /// The plain LoRA of rank 2R that an adapter with initial factors is stored as, as PEFT converts it:
  /// `B A − B₀ A₀ = [B, −B₀] [A; A₀]`.
  var converted: LoRAConfiguration {
    var result = self
    result.r *= 2
    // The scaling stays what it was: α/R, or α/√R.
    let factor = usesRSLoRA ? 2.0.squareRoot() : 2
    result.alpha *= factor
    result.rankPattern = rankPattern.mapValues { 2 * $0 }
    result.alphaPattern = alphaPattern.mapValues { factor * $0 }
    result.initialization = .kaiming
    return result
  }

  /// The rank for a projection.
  func rank(_ path: String) throws(PEFTError) -> Int {
    try matching(path, rankPattern, "rank_pattern").map { Int($0) } ?? r
  }

  /// The factor on the low-rank branch: α/R, or α/√R with rank-stabilised LoRA (Kalajdzievski 2023,
  /// arXiv:2312.03732).
  func scaling(_ path: String) throws(PEFTError) -> Double {
    let alpha = try matching(path, alphaPattern, "alpha_pattern") ?? self.alpha
    let rank = Double(try self.rank(path))
    return usesRSLoRA ? alpha / rank.squareRoot() : alpha / rank
  }

  /// The value whose key matches a path: `(.*\.)?(key)$`, as PEFT's `get_pattern_key`.
  ///
  /// PEFT takes the first match in the order of the keys. That is their alphabetical order in every
  /// file it has saved, and so here always: an adapter means the same before and after it is saved.
  private func matching(_ path: String, _ pattern: [String: Double], _ field: String)
    throws(PEFTError) -> Double?
  {
    for (key, value) in pattern.sorted(by: { Self.precedes($0.key, $1.key) })
    where try Self.matches(path, key, field) {
      return value
    }
    return nil
  }

  /// The order of Python's texts, by code points.
  private static func precedes(_ a: String, _ b: String) -> Bool {
    a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
  }

  /// What should be known of the patterns, each a sentence: keys that no adapted module answers to,
  /// and keys that decide before others with other values.
  func patternNotes(_ paths: [String]) throws(PEFTError) -> [String] {
    var sentences: [String] = []
    for (field, pattern) in [("rank_pattern", rankPattern), ("alpha_pattern", alphaPattern)] {
      let keys = pattern.keys.sorted(by: Self.precedes)
      for (index, key) in keys.enumerated() {
        let matched = try Self.matching(paths, key, field)
        if matched.isEmpty {
          sentences.append("'\(key)' of \(field) matches no adapted module.")
        }
        for other in keys[..<index] where pattern[other] != pattern[key] {
          guard let both = try Self.matching(matched, other, field).first else { continue }
          sentences.append(
            "'\(other)' and '\(key)' of \(field) both match \(both): the first in alphabetical "
              + "order counts, as in a file that PEFT has saved.")
        }
      }
    }
    return sentences
  }

  private static func matching(_ paths: [String], _ key: String, _ field: String)
    throws(PEFTError) -> [String]
  {
    var found: [String] = []
    for path in paths where try matches(path, key, field) { found.append(path) }
    return found
  }

  private static func matches(_ path: String, _ key: String, _ field: String) throws(PEFTError)
    -> Bool
  {
    try ModuleTargeting.wholeMatch(path, "(.*\\.)?(\(key))", field: field)
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  ///
  /// - Parameter canTie: whether the base's head is tied to its token table; tying nothing is not
  ///   written.
  func json(
    baseName: String, targets: JSONValue, savedModules: JSONValue, isTransposed: Bool,
    canTie: Bool
  ) -> JSONValue {
    func number(_ value: Double) -> JSONValue {
      Int(exactly: value).map(JSONValue.int) ?? .double(value)
    }
    let initial: JSONValue =
      switch initialization {
      case .kaiming, .foreign: true
      case .pissa(nil): "pissa"
      case .pissa(let iterations?): .string("pissa_niter_\(iterations)")
      case .olora: "olora"
      case .gaussian: "gaussian"
      case .random: false
      }
    return [
      "alora_invocation_tokens": nil, "alpha_pattern": .object(alphaPattern.mapValues(number)),
      "arrow_config": nil, "auto_mapping": nil, "base_model_name_or_path": .string(baseName),
      "bias": .string(bias), "corda_config": nil,
      "ensure_weight_tying": .bool(ensuresTying && canTie),
      "eva_config": nil, "exclude_modules": targeting.savedExclusion,
      "fan_in_fan_out": .bool(isTransposed), "inference_mode": true,
      "init_lora_weights": initial, "kasa_config": nil, "layer_replication": nil,
      "layers_pattern": targeting.layersPattern.map { .array($0.map(JSONValue.string)) } ?? nil,
      "layers_to_transform": targeting.layers.map { .array($0.map(JSONValue.int)) } ?? nil,
      "loftq_config": [:], "lora_alpha": number(alpha), "lora_bias": .bool(hasBias),
      "lora_dropout": .double(dropout), "lora_ga_config": nil, "megatron_config": nil,
      "megatron_core": "megatron.core",
      "modules_to_save": savedModules,
      "monteclora_config": nil, "peft_type": "LORA", "peft_version": .string(peftVersion),
      "qalora_group_size": .int(qaloraGroupSize), "r": .int(r),
      "rank_pattern": .object(rankPattern.mapValues(number)), "revision": nil,
      "target_modules": targets,
      "target_parameters": targetParameters.isEmpty
        ? nil : .array(targetParameters.sorted().map(JSONValue.string)),
      "task_type": "CAUSAL_LM", "trainable_token_indices": tokens.json, "use_bdlora": nil,
      "use_dora": .bool(usesDoRA), "use_qalora": false, "use_rslora": .bool(usesRSLoRA),
      "velora_config": nil,
    ]
  }
}

/// The version of Hugging Face PEFT whose files are written.
let peftVersion = "0.21.2"
