import JSON
import Model

/// AdaLoRA's fields, as `AdaLoraConfig` of Hugging Face PEFT 0.21 names them.
struct AdaLoRAConfiguration {
  /// `init_r`, R₀: triplets of every projection at the start; also the divisor, for ever.
  let initialRank: Int
  /// `target_r`: triplets a projection has on average at the end.
  let targetRank: Int
  /// `lora_alpha`; none above zero means R₀.
  let alpha: Double
  let dropout: Double
  let bias: String
  /// `tinit`: steps before pruning begins.
  let warmupSteps: Int
  /// `tfinal`: steps after the last pruning.
  let finalSteps: Int
  /// `deltaT`: steps between prunings.
  let interval: Int
  let beta1: Double
  let beta2: Double
  /// `orth_reg_weight`, γ.
  let orthogonality: Double
  /// `total_step`; nil stands for the run's length.
  let totalSteps: Int?
  /// `rank_pattern` of a pruned adapter: by `….lora_E`, which triplets are left.
  let rankPattern: [String: [Bool]]
  let targeting: ModuleTargeting
  let modulesToSave: [String]
  /// `trainable_token_indices`.
  let tokens: TrainedTokens
  /// `init_lora_weights`: near zero with E = 0, or all N(0, 1).
  let startsAtIdentity: Bool
  let source: String
  private let qaloraGroupSize: Int

  /// What a user may set.
  static let fields = MethodField.joined([
    [
      MethodField(
        "init_r", .integer(minimum: 1, maximum: 1 << 24), default: 12, "R", "rank at the start"),
      MethodField(
        "target_r", .integer(minimum: 1, maximum: 1 << 24), default: 8, "R",
        "mean rank at the end"),
      MethodField(
        "tinit", .integer(minimum: 0, maximum: 1 << 40), default: 0, "N", "steps before pruning"),
      MethodField(
        "tfinal", .integer(minimum: 0, maximum: 1 << 40), default: 0, "N", "steps after pruning"),
      MethodField(
        "deltaT", .integer(minimum: 1, maximum: 1 << 40), default: 1, "N",
        "steps between prunings"),
      MethodField(
        "total_step", .integer(minimum: 1, maximum: 1 << 40), "N",
        "steps of the schedule (default: the run's)"),
      MethodField("lora_alpha", .anyNumber, default: 8, "X", "scaling is alpha / init_r"),
      MethodField("lora_dropout", .probability, default: 0.0, "P", "dropout in front of A"),
    ], .targeting, .layers,
    [
      MethodField(
        "beta1", decay, default: 0.85, "X", "decay of the importance's average"),
      MethodField(
        "beta2", decay, default: 0.85, "X", "decay of its uncertainty's average"),
      MethodField(
        "orth_reg_weight", .number(minimum: 0, maximum: 1e30), default: 0.5, "X",
        "weight of the regulariser"),
    ], .biases("lora_only"),
    [
      MethodField("init_lora_weights", .flag, default: true, "", "start at the base")
    ], .tokens, .storageOrder,
  ])

  /// A decay, which is neither 0 nor 1.
  private static let decay = FieldKind.number(minimum: 1e-12, maximum: 1 - 1e-12)

  /// Reads and checks every field; what PEFT would ignore or cannot do is refused.
  init(_ options: MethodOptions) throws(PEFTError) {
    source = options.source
    try options.readCommon(peftType: "ADALORA")
    initialRank = try options.int("init_r")
    targetRank = try options.int("target_r")
    alpha = try options.double("lora_alpha")
    dropout = try options.double("lora_dropout")
    bias = try options.word("bias")
    warmupSteps = try options.int("tinit")
    finalSteps = try options.int("tfinal")
    interval = try options.int("deltaT")
    beta1 = try options.double("beta1")
    beta2 = try options.double("beta2")
    orthogonality = try options.double("orth_reg_weight")
    totalSteps = try options.optionalInt("total_step")
    rankPattern = try Self.pattern(options)
    targeting = try ModuleTargeting(options)
    modulesToSave = targeting.modulesToSave
    tokens = try TrainedTokens(options)
    startsAtIdentity = try options.bool("init_lora_weights")
    qaloraGroupSize = try options.int("qalora_group_size", default: 16)
    _ = try options.bool("fan_in_fan_out")
    options.ignore("megatron_core", "eva_config")
    if try options.int("r", default: 8) != 8 {
      throw options.wrong("r", options.value("r") ?? .null, "init_r and target_r, AdaLoRA's ranks")
    }
    try options.refuse(
      "loftq_config", "target_parameters", "layer_replication",
      "megatron_config", "alora_invocation_tokens", "arrow_config", "corda_config",
      "lora_ga_config", "kasa_config", "velora_config", "monteclora_config", "use_bdlora",
      "use_qalora", "ensure_weight_tying", "use_dora", "use_rslora", "alpha_pattern", "lora_bias",
      expected: "null or false")
    try options.finish()
    if targetRank >= initialRank {
      throw .inconsistentFields(
        "target_r \(targetRank) is not below init_r \(initialRank): there is nothing to prune",
        source: source)
    }
    if let totalSteps { try checkSchedule(totalSteps) }
  }

  /// Refuses a schedule without steps between its first and its last pruning.
  func checkSchedule(_ totalSteps: Int) throws(PEFTError) {
    if warmupSteps >= totalSteps - finalSteps {
      throw .inconsistentFields(
        "tinit \(warmupSteps) and tfinal \(finalSteps) leave no step to prune in \(totalSteps) steps",
        source: source)
    }
  }

  /// The factor on the branch: α/(R₀ + 1e-5), whatever is pruned.
  var scaling: Double {
    (alpha > 0 ? alpha : Double(initialRank)) / (Double(initialRank) + 1e-5)
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  ///
  /// - Parameters:
  ///   - totalSteps: PEFT refuses to load a file without.
  ///   - pattern: which triplets the file holds; nil for all.
  func json(
    baseName: String, targets: JSONValue, isTransposed: Bool, totalSteps: Int,
    pattern: JSONValue
  ) -> JSONValue {
    [
      "alora_invocation_tokens": nil, "alpha_pattern": [:], "arrow_config": nil,
      "auto_mapping": nil, "base_model_name_or_path": .string(baseName),
      "beta1": .double(beta1), "beta2": .double(beta2), "bias": .string(bias),
      "corda_config": nil, "deltaT": .int(interval), "ensure_weight_tying": false,
      "eva_config": nil, "exclude_modules": targeting.savedExclusion,
      "fan_in_fan_out": .bool(isTransposed), "inference_mode": true,
      "init_lora_weights": .bool(startsAtIdentity), "init_r": .int(initialRank),
      "kasa_config": nil, "layer_replication": nil,
      "layers_pattern": targeting.layersPattern.map { .array($0.map(JSONValue.string)) } ?? nil,
      "layers_to_transform": targeting.layers.map { .array($0.map(JSONValue.int)) } ?? nil,
      "loftq_config": [:], "lora_alpha": Int(exactly: alpha).map(JSONValue.int) ?? .double(alpha),
      "lora_bias": false, "lora_dropout": .double(dropout), "lora_ga_config": nil,
      "megatron_config": nil, "megatron_core": "megatron.core",
      "modules_to_save": modulesToSave.isEmpty
        ? nil : .array(modulesToSave.map(JSONValue.string)),
      "monteclora_config": nil, "orth_reg_weight": .double(orthogonality),
      "peft_type": "ADALORA", "peft_version": .string(peftVersion),
      "qalora_group_size": .int(qaloraGroupSize), "r": 8, "rank_pattern": pattern,
      "revision": nil, "target_modules": targets, "target_parameters": nil,
      "target_r": .int(targetRank), "task_type": "CAUSAL_LM", "tfinal": .int(finalSteps),
      "tinit": .int(warmupSteps), "total_step": .int(totalSteps),
      "trainable_token_indices": tokens.json, "use_bdlora": nil, "use_dora": false,
      "use_qalora": false, "use_rslora": false, "velora_config": nil,
    ]
  }

  private static func pattern(_ options: MethodOptions) throws(PEFTError) -> [String: [Bool]] {
    guard let value = options.value("rank_pattern") else { return [:] }
    guard let members = value.object else {
      throw options.wrong("rank_pattern", value, "lists of truth values by tensor name")
    }
    var result: [String: [Bool]] = [:]
    for (name, list) in members {
      let kept = (list.array ?? []).compactMap(\.bool)
      guard let array = list.array, array.count == kept.count else {
        throw options.wrong("rank_pattern.\(name)", list, "a list of truth values")
      }
      result[name] = kept
    }
    return result
  }
}
