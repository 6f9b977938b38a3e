import JSON
import Kernels
import Model
import Tensors

/// LLaMA-Adapter, PEFT's adaption prompt: arXiv:2303.16199 (Zhang and others, 2023).
///
/// The upper blocks' queries also attend to trained rows, through the block's own frozen projections,
/// and a gate that starts at zero lets the result in.
///
///     k_p = A W_kᵀ (+ b_k)    v_p = A W_vᵀ (+ b_v)            A [P, hidden], no rotation
///     z   = g · softmax(q k_pᵀ / √D) v_p                      a softmax of its own, no mask
///     out = (attention(x) + z) W_oᵀ
///
/// Parameters: `adapter_layers·(P·hidden + 1)`. With g = 0 training starts at the base to the last
/// bit; at the first step only g has a gradient. Backward does not go below the lowest adapted block.
///
/// As in PEFT there is no tanh on the gate and one gate a block; on GPT-2, z is added behind `c_proj`.
/// Where PEFT has nothing: key/value heads are repeated N/K times (PEFT's own factor fails where
/// N·D ≠ hidden), and a norm of keys applies to k_p as that of queries does to q. Where PEFT has the
/// method, a bias on `o_proj` is added twice in adapted blocks, even at g = 0, since PEFT sends z
/// through `o_proj` by itself; the start is then not the base.
public final class LLaMAAdapter: PEFTMethod {
  /// `llama-adapter`.
  public static let methodName = "llama-adapter"
  /// `ADAPTION_PROMPT`.
  public static let peftType: String? = "ADAPTION_PROMPT"
  /// What a user may set.
  public static let fields: [MethodField] = [
    MethodField("target_modules", .names, "NAME", "the attention's name: what PEFT writes"),
    MethodField(
      "adapter_len", .integer(minimum: 1, maximum: 1 << 12), default: 10, "N",
      "prompt rows of a block"),
    MethodField(
      "adapter_layers", .integer(minimum: 1), "N",
      "topmost blocks to adapt (default: all but the lowest two)"),
  ]
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .encoders(1e-2)
  }
  private let length: Int
  private let givenLayers: Int?
  private let target: String?
  private let source: String
  private var sites: [Site] = []
  private var arena: ParameterArena?
  private var decoder: DecoderConfiguration?

  /// One adapted block.
  private struct Site {
    let block: Int
    let prompt: ParameterSlot  // [1, P, hidden]
    let gate: ParameterSlot  // [1]
  }

  /// Reads the method's fields, as `AdaptionPromptConfig` of Hugging Face PEFT 0.21 names them.
  ///
  /// PEFT has no defaults for `adapter_len` and `adapter_layers`. Here they are the paper's: 10, and
  /// all blocks but the lowest two.
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    source = options.source
    try options.readCommon(peftType: "ADAPTION_PROMPT")
    length = try options.int("adapter_len")
    givenLayers = try options.optionalInt("adapter_layers")
    target = try options.strings("target_modules")?.first
    try options.finish()
  }

  /// Declares rows and gate of the upper blocks, last block first.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let base = decoder.configuration
    let module = base.names.attention
    if let target, target != module {
      throw .unsupportedField(
        name: "target_modules", value: target, expected: module, source: source)
    }
    let layers = givenLayers ?? max(1, base.blockCount - 2)
    if layers > base.blockCount {
      throw .unsupportedField(
        name: "adapter_layers", value: "\(layers)",
        expected: "at most \(base.blockCount), the blocks of this base", source: source)
    }
    self.decoder = base
    for block in ((base.blockCount - layers)..<base.blockCount).reversed() {
      let key = "\(huggingFacePrefix)\(base.names.blocks).\(block).\(module)"
      sites.append(
        Site(
          block: block,
          prompt: plan.declare(
            "\(key).adaption_prompt", shape: [1, length, base.hiddenSize]),
          gate: plan.declare("\(key).adaption_gate", shape: [1])))
    }
  }

  /// Attaches the upper blocks' rows.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    var hooks = HookSet()
    for site in sites {
      hooks.attention[site.block] = AdaptionPrompt(
        prompt: TrainedMatrix(site.prompt, in: arena), gate: TrainedMatrix(site.gate, in: arena))
    }
    if ReferenceDefaults.of(decoder.configuration).hasAdaptionPrompt {
      let blocks = Set(sites.map(\.block))
      for layer in decoder.linearLayers
      where blocks.contains(layer.block) && lastComponent(layer.path) == "o_proj"
        && layer.bias != nil
      {
        hooks.linear[layer.path] = RepeatedBias()
      }
    }
    try hooks.attach(to: decoder, as: name, arena: arena)
  }

  /// Draws A ~ N(0, 1) and closes the gates.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    for site in sites {
      CounterRandom(seed: seed, purpose: site.prompt.name)
        .fillNormal(arena.values(site.prompt), standardDeviation: 1)
      arena.values(site.gate).fill(0)
    }
  }

  /// Takes every tensor by its name.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(tensors, into: arena, source: "the adapter")
  }

  /// The adapter in PEFT's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena, let decoder else { return nil }
    let notes =
      ReferenceDefaults.of(decoder).hasAdaptionPrompt
      ? []
      : [
        "PEFT \(peftVersion) has no adaption prompt for \(decoder.modelType): this program "
          + "reads the adapter, PEFT will not."
      ]
    return AdapterExport(
      configuration: [
        "adapter_layers": .int(sites.count), "adapter_len": .int(length), "auto_mapping": nil,
        "base_model_name_or_path": .string(baseName), "inference_mode": true,
        "peft_type": "ADAPTION_PROMPT", "peft_version": .string(peftVersion), "revision": nil,
        "target_modules": .string(decoder.names.attention),
        "task_type": "CAUSAL_LM",
      ], tensors: storedTensors(of: arena), notes: notes)
  }

  /// Why there is nothing to fold into.
  public var mergeRefusal: String? {
    "it adds a second softmax to attention, which no weight of the base can stand for"
  }

  /// Nothing is merged.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool { false }
}

/// The frozen bias of a projection, once more: `y = base(x) + b`.
final class RepeatedBias: LinearHook {
  var savedColumns: Int { 0 }
  var readsInput: Bool { false }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    HookArithmetic(forward: 0, backward: 0)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    guard let bias = pass.layer.bias?.vector else { return }
    RowBias.forward(bias, scale: 1, addingTo: y, on: pass.compute)
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {}
}

/// The trained rows and the gate of one block.
final class AdaptionPrompt: AttentionHook {
  private let prompt: MatrixView  // [P, hidden]
  private let dPrompt: MatrixView  // [P, hidden]
  private let gateTensor: TrainedMatrix  // [1]

  init(prompt: TrainedMatrix, gate: TrainedMatrix) {
    self.prompt = prompt.values
    dPrompt = prompt.gradient
    gateTensor = gate
  }

  var mode: AttentionHookMode { .gated }
  var prefixLength: Int { prompt.rows }
  var gate: Float { gateTensor.values[0, 0] }

  func fill(
    keys: MatrixView, values: MatrixView, block: any KeyValueProjecting, on compute: Compute
  ) {
    block.projectKeysAndValues(prompt, keys: keys, values: values, on: compute)
  }

  func backward(
    dKeys: MatrixView, dValues: MatrixView, dGate: MatrixView, block: any KeyValueProjecting,
    on compute: Compute
  ) {
    block.backwardKeysAndValues(
      dKeys: dKeys, dValues: dValues, rows: prompt, addingTo: dPrompt, on: compute)
    Elementwise.add(dGate, addingTo: gateTensor.gradient, on: compute)
  }
}
