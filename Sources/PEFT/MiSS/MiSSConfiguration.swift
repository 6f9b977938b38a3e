import JSON
import Model

/// MiSS's fields, as `MissConfig` of Hugging Face PEFT 0.21 names them.
struct MiSSConfiguration {
  /// The variant, and how its tensors start (`init_weights`).
  enum Variant: Hashable {
    /// One matrix of r rows, the same for every shard of the input: `true`; at zero.
    case balanced
    /// The same, drawn from U(±1/√out): `false`, not an identity.
    case random
    /// A matrix [r, r] for every shard of the output, which also turns the weight: `bat`.
    case bat
    /// A matrix of `mini_r` columns, repeated over the outputs: `mini`.
    case mini
  }

  /// What a user may set.
  static let fields = MethodField.joined([
    [
      MethodField(
        "r", .integer(minimum: 1, maximum: 1 << 24), default: 64, "R",
        "input features that share a row: the shards' width"),
      MethodField(
        "miss_dropout", .probability, default: 0.0, "P", "dropout in front of the shards"),
      MethodField(
        "init_weights", .textOrFlag, default: true, "NAME",
        "true, false, bat (turns the weight too) or mini (fewer parameters)"),
      MethodField(
        "mini_r", .integer(minimum: 1, maximum: 1 << 24), default: 1, "R",
        "mini: output features that have a column of their own"),
    ], .targeting, .layers, .biases("MiSS_only"),
  ])

  let r: Int
  let miniR: Int
  let dropout: Double
  let variant: Variant
  let bias: String
  let targeting: ModuleTargeting

  /// Reads and checks every field.
  init(_ options: MethodOptions) throws(PEFTError) {
    try options.readCommon(peftType: "MISS")
    r = try options.int("r")
    miniR = try options.int("mini_r")
    dropout = try options.double("miss_dropout")
    bias = try options.word("bias")
    targeting = try ModuleTargeting(options)
    switch try options.checked("init_weights") ?? .bool(true) {
    case .bool(true): variant = .balanced
    case .bool(false): variant = .random
    case .string("bat"): variant = .bat
    case .string("mini"): variant = .mini
    case let other: throw options.wrong("init_weights", other, "true, false, bat, mini")
    }
    try options.finish()
    if variant == .bat && dropout > 0 {
      throw .inconsistentFields(
        "miss_dropout does nothing with init_weights bat, in PEFT as here: leave it out",
        source: options.source)
    }
  }

  /// The shape of a projection's tensor.
  ///
  /// - Throws: `PEFTError.unsupportedBase` where the projection cannot be cut so.
  func shape(_ layer: LinearLayer) throws(PEFTError) -> [Int] {
    let (input, output) = (layer.inputSize, layer.outputSize)
    func refuse(_ reason: String) -> PEFTError {
      .unsupportedBase(
        method: "miss", reason: "\(layer.path) has \(input) inputs and \(output) outputs; \(reason)"
      )
    }
    if r > input { throw refuse("r \(r) must not exceed the inputs") }
    switch variant {
    case .balanced, .random: return [r, output]
    case .mini:
      if output % miniR != 0 { throw refuse("mini_r \(miniR) must divide the outputs") }
      return [r, miniR]
    case .bat:
      if input % r != 0 || output % r != 0 { throw refuse("with bat, r \(r) must divide both") }
      if layer.weight.layout == .inputMajor {
        throw refuse("bat wants a weight stored [out, in], and this one is transposed")
      }
      return [output / r, r, r]
    }
  }

  /// `adapter_config.json`, every field that PEFT 0.21 writes.
  func json(baseName: String, targets: JSONValue) -> JSONValue {
    let initial: JSONValue =
      switch variant {
      case .balanced: true
      case .random: false
      case .bat: "bat"
      case .mini: "mini"
      }
    return [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseName), "bias": .string(bias),
      "exclude_modules": targeting.savedExclusion, "inference_mode": true,
      "init_weights": initial,
      "layers_pattern": targeting.layersPattern.map { .array($0.map(JSONValue.string)) } ?? nil,
      "layers_to_transform": targeting.layers.map { .array($0.map(JSONValue.int)) } ?? nil,
      "mini_r": .int(miniR), "miss_dropout": .double(dropout),
      "modules_to_save": targeting.modulesToSave.isEmpty
        ? nil : .array(targeting.modulesToSave.map(JSONValue.string)),
      "peft_type": "MISS", "peft_version": .string(peftVersion), "r": .int(r), "revision": nil,
      "target_modules": targets, "task_type": "CAUSAL_LM",
    ]
  }
}
