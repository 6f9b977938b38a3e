import JSON
import Kernels
import Model

/// Houlsby adapters' fields, as AdapterHub's `DoubleSeqBnConfig` (adapters 1.3) names them.
///
/// In AdapterHub's `adapter_config.json` they are inside `config`; on the command line they stand
/// alone. `bottleneck_size` is ours: M itself instead of a factor.
struct BottleneckConfiguration {
  /// How the weights start.
  enum Initialization: String {
    /// N(0, 0.02²), AdapterHub's default.
    case bert
    /// N(0, 0.01²), redrawn beyond ±0.02: near the identity, the paper's and the default here.
    case houlsby
    /// W_d uniform in ±1/√hidden, W_u zero: the identity.
    case mam = "mam_adapter"
  }

  /// The adapter's name, which is part of its tensors' names.
  let adapterName: String
  let isBehindAttention: Bool
  let isBehindFeedForward: Bool
  let activationName: String
  let activation: ActivationFunction
  let scaling: Double
  let dropout: Double
  let leaveOut: [Int]
  let initialization: Initialization
  private let size: Int?
  private let factor: Double
  private let factors: [String: Double]
  private let hiddenSize: Int?
  private let source: String

  /// What a user may set.
  static let fields: [MethodField] = [
    MethodField(
      "bottleneck_size", .integer(minimum: 1, maximum: 1 << 24), "N", "width of the adapters"),
    MethodField(
      "reduction_factor", .numberOrObject, default: 16, "X",
      "hidden size over that width; by block: {\"0\": 8, \"default\": 16}"),
    MethodField("mh_adapter", .flag, default: true, "", "adapters behind attention"),
    MethodField(
      "output_adapter", .flag, default: true, "", "adapters behind the feed-forward network"),
    MethodField(
      "non_linearity", .choice(activations.map(\.name)), default: "swish", "NAME",
      activations.map(\.name).joined(separator: ", ")),
    MethodField("scaling", .anyNumber, default: 1, "X", "factor on the adapter's output"),
    MethodField("dropout", .probability, default: 0.0, "P", "dropout of that output"),
    MethodField("leave_out", .integers, "N,…", "blocks without adapters"),
    MethodField(
      "init_weights", .choice(["bert", "houlsby", "mam_adapter"]), default: "houlsby", "NAME",
      "houlsby, bert or mam_adapter"),
  ]

  /// Reads and checks every field.
  init(_ options: MethodOptions) throws(PEFTError) {
    source = options.source
    adapterName = options.value("name")?.string ?? "bottleneck"
    hiddenSize =
      options.value("hidden_size") == nil ? nil : try options.int("hidden_size", default: 1)
    options.ignore("model_type", "model_class", "model_name", "version")
    let fields: MethodOptions
    if let inner = options.value("config") {
      guard let members = inner.object else {
        throw options.wrong("config", inner, "an object, as AdapterHub writes it")
      }
      fields = options.inner(members, source: "config in \(options.source)")
      try options.finish()
    } else {
      fields = options
    }
    size = try fields.optionalInt("bottleneck_size")
    if size != nil, fields.value("reduction_factor") != nil {
      throw .inconsistentFields(
        "bottleneck_size and reduction_factor are both given", source: source)
    }
    let reduction = try fields.checked("reduction_factor") ?? 16
    factors = reduction.object == nil ? [:] : try fields.numbers("reduction_factor")
    factor = reduction.double ?? factors["default"] ?? 16
    if !(1e-6...1e9).contains(factor) {
      throw fields.wrong("reduction_factor", .double(factor), "a number from 1e-06 to 1e9")
    }
    for (key, value) in factors where !(value > 0) {
      throw fields.wrong("reduction_factor.\(key)", .double(value), "a positive number")
    }
    isBehindAttention = try fields.bool("mh_adapter")
    isBehindFeedForward = try fields.bool("output_adapter")
    activationName = try fields.word("non_linearity")
    activation =
      Self.activations.first { [activationName] in $0.name == activationName }?.kind
      ?? .silu
    scaling = try fields.double("scaling")
    dropout = try fields.double("dropout")
    leaveOut = (try fields.checked("leave_out")?.array ?? []).compactMap(\.int)
    let word = try fields.word("init_weights")
    initialization = Initialization(rawValue: word) ?? .houlsby
    try Self.refuseOtherPlacements(fields)
    try fields.finish()
    if !isBehindAttention && !isBehindFeedForward {
      throw .inconsistentFields(
        "mh_adapter and output_adapter are both false: nothing would train", source: source)
    }
  }

  /// Refuses what would be another adapter: other placements, gates, parallel and shared forms.
  private static func refuseOtherPlacements(_ fields: MethodOptions) throws(PEFTError) {
    for (name, only) in [
      ("original_ln_before", false), ("residual_before_ln", true),
      ("adapter_residual_before_ln", false),
    ] where try fields.bool(name, default: only) != only {
      throw fields.wrong(name, .bool(!only), "\(only) (Houlsby's placement before the residual)")
    }
    // On decoders without a norm behind the residual it makes no difference.
    _ = try fields.bool("original_ln_after", default: true)
    try fields.refuse(
      "ln_before", "ln_after", "is_parallel", "use_gating", "phm_layer", "inv_adapter",
      "inv_adapter_reduction_factor", "cross_adapter", expected: "null or false")
    if try fields.double("stochastic_depth", default: 0) != 0 {
      throw fields.wrong("stochastic_depth", fields.value("stochastic_depth") ?? .null, "0")
    }
    fields.ignore(
      "init_weights_seed", "factorized_phm_W", "factorized_phm_rule", "hypercomplex_nonlinearity",
      "learn_phm", "phm_bias", "phm_c_init", "phm_dim", "phm_init_range", "phm_rank",
      "shared_W_phm", "shared_phm_rule")
  }

  /// M of a block: `max(1, ⌊hidden / reduction_factor⌋)`.
  func size(block: Int, hidden: Int) -> Int {
    if let size { return size }
    return max(1, Int(Double(hidden) / (factors["\(block)"] ?? factor)))
  }

  /// Checks `hidden_size` and `leave_out` against the base.
  func check(_ decoder: DecoderConfiguration) throws(PEFTError) {
    if let hiddenSize, hiddenSize != decoder.hiddenSize {
      throw .unsupportedField(
        name: "hidden_size", value: "\(hiddenSize)",
        expected: "\(decoder.hiddenSize), as in this base", source: source)
    }
    if Set(leaveOut).isSuperset(of: 0..<decoder.blockCount) {
      throw .nothingTargeted(
        selection: "Bottlenecks without leave_out \(leaveOut)",
        available: ["blocks 0 to \(decoder.blockCount - 1)"])
    }
  }

  /// AdapterHub's `adapter_config.json`.
  ///
  /// A size M is written as the factor hidden/(M + ½), whose floor is M for every width, where
  /// hidden/M often falls to M−1. `scaling` must have a fraction: AdapterHub refuses a plain 1.
  func json(baseName: String, decoder: DecoderConfiguration) -> JSONValue {
    var reduction: JSONValue = .double(factor)
    if let size { reduction = .double(Double(decoder.hiddenSize) / (Double(size) + 0.5)) }
    if !factors.isEmpty { reduction = .object(factors.mapValues(JSONValue.double)) }
    let modelClass = ReferenceDefaults.of(decoder).adapterHubClass ?? decoder.modelClass
    return [
      "config": [
        "adapter_residual_before_ln": false, "cross_adapter": false, "dropout": .double(dropout),
        "factorized_phm_W": true, "factorized_phm_rule": false,
        "hypercomplex_nonlinearity": "glorot-uniform",
        "init_weights": .string(initialization.rawValue), "init_weights_seed": nil,
        "inv_adapter": nil, "inv_adapter_reduction_factor": nil, "is_parallel": false,
        "learn_phm": true, "leave_out": .array(leaveOut.map(JSONValue.int)), "ln_after": false,
        "ln_before": false, "mh_adapter": .bool(isBehindAttention),
        "non_linearity": .string(activationName), "original_ln_after": true,
        "original_ln_before": false, "output_adapter": .bool(isBehindFeedForward),
        "phm_bias": true, "phm_c_init": "normal", "phm_dim": 4, "phm_init_range": 0.0001,
        "phm_layer": false, "phm_rank": 1, "reduction_factor": reduction,
        "residual_before_ln": true, "scaling": .double(scaling), "shared_W_phm": false,
        "shared_phm_rule": true, "stochastic_depth": 0.0, "use_gating": false,
      ],
      "hidden_size": .int(decoder.hiddenSize),
      "model_class": modelClass.map(JSONValue.string) ?? .null,
      "model_name": .string(baseName), "model_type": .string(decoder.modelType),
      "name": .string(adapterName), "version": "adapters.1.3.0",
    ]
  }

  private static let activations: [(name: String, kind: ActivationFunction)] = [
    ("swish", .silu), ("silu", .silu), ("relu", .relu), ("gelu", .gelu),
    ("gelu_new", .geluTanh), ("tanh", .tanh),
  ]
}
