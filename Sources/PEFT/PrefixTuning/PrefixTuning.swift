import JSON
import Kernels
import Model
import Tensors

/// Prefix tuning (Li and Liang 2021, arXiv:2101.00190): trained keys and values in front of every
/// block's own, in the same softmax.
///
///     E [P, 2·L·K·D]      K_l = E[:, 2l]   V_l = E[:, 2l+1]   each [P, K·D]
///     attention_l(q, [K_l ; rope(k)], [V_l ; v])
///
/// Parameters: `2·P·L·K·D`. With `prefix_projection`, `E = tanh(Z W₁ᵀ + b₁) W₂ᵀ + b₂` and
/// `P·t + (t·h + h) + (h·2Lt + 2Lt)` with t = K·D, h `encoder_hidden_size`; the projection runs once
/// a step, only the gradient of E travels between ranks, and the adapter file holds E alone.
///
/// Prefix keys are neither rotated nor normalised: they enter as cached keys do. Real tokens stand at
/// positions P and on; no rows are added to the stream. A prefix of zeros is not the base: zero keys
/// still take their share of the softmax. The gradient of E sums over all queries of all sequences.
public final class PrefixTuning: PEFTMethod {
  /// `prefix-tuning`.
  public static let methodName = "prefix-tuning"
  /// `PREFIX_TUNING`.
  public static let peftType: String? = "PREFIX_TUNING"
  /// What a user may set.
  public static let fields: [MethodField] = PrefixTuningConfiguration.fields
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    // A prefix made by an encoder trains like a prompt made by one.
    fields["prefix_projection"] == true ? PTuningConfiguration.suggestedRate : .constant(5e-2)
  }
  private let configuration: PrefixTuningConfiguration
  private var prefix: ParameterSlot?
  private var projection: Projection?
  private var stack: DenseStack?
  private var arena: ParameterArena?
  private var decoder: DecoderConfiguration?
  private var isPlain = false
  private var isPrefixCurrent = false

  /// The projection's tensors.
  private struct Projection {
    let embedding: ParameterSlot  // Z [P, K·D]
    let layers: [(weight: ParameterSlot, bias: ParameterSlot)]
  }

  /// Reads the method's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try PrefixTuningConfiguration(options)
  }

  /// Finds out whether the projection will be there.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    isPlain = isPlainPrompt(tensors)
    return isPlain && configuration.isProjected ? [plainPromptNote] : []
  }

  /// Declares the prefix, and the projection where there is one.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let base = decoder.configuration
    let (rows, width) = (configuration.fields.count, base.keyValueSize)
    try configuration.fields.check(base, width: width)
    self.decoder = base
    let isProjected = configuration.isProjected && !isPlain
    let total = 2 * base.blockCount * width
    prefix = plan.declare(
      promptEmbeddings, shape: [rows, total], role: isProjected ? .computed : .trained)
    guard isProjected else { return }
    projection = Projection(
      embedding: plan.declare(
        "prompt_encoder.embedding.weight", shape: [rows, width], role: .derived),
      layers: DenseStack.declare(
        "prompt_encoder.transform",
        sizes: [width, configuration.hiddenSize ?? width, total], in: &plan))
  }

  /// Gives every block its keys and values.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    guard let prefix else { return }
    self.arena = arena
    stack = projection.map {
      DenseStack($0.layers, in: arena, rows: prefix.rows, activation: .tanh)
    }
    let width = decoder.configuration.keyValueSize
    var hooks = HookSet()
    for block in 0..<decoder.configuration.blockCount {
      hooks.attention[block] = PrefixKeysAndValues(
        TrainedMatrix(prefix, in: arena), block: block, width: width)
    }
    try hooks.attach(to: decoder, as: name, arena: arena)
  }

  /// Draws E or Z ~ N(0, 1) and the projection as PyTorch does; `init_weights` `zero` clears E or the
  /// last layer.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let prefix, let arena else { return }
    let drawn = projection?.embedding ?? prefix
    CounterRandom(seed: seed, purpose: drawn.name)
      .fillNormal(arena.values(drawn), standardDeviation: 1)
    if let projection {
      DenseStack.initialize(projection.layers, in: arena, seed: seed)
    }
    if configuration.startsAtZero {
      if let last = projection?.layers.last {
        arena.values(last.weight).fill(0)
        arena.values(last.bias).fill(0)
      } else {
        arena.values(prefix).fill(0)
      }
    }
    project(on: Compute(threads: 1))
  }

  /// Takes the projection, or the plain prefix; a prefix that comes with its projection is made
  /// again.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(tensors, into: arena, source: "the adapter")
    project(on: Compute(threads: 1))
  }

  /// Makes the prefix before the first step; later it is always current.
  public func prepareStep(_ context: StepContext) {
    if !isPrefixCurrent { project(on: context.compute) }
  }

  /// Derives the projection's gradients from the prefix's.
  public func didReduceGradients(_ context: StepContext) {
    guard let prefix, let arena, let projection else { return }
    stack?.backward(
      arena.gradients(prefix), input: arena.values(projection.embedding),
      into: arena.gradients(projection.embedding), on: context.compute)
  }

  /// Makes the prefix of the new values.
  public func didStep(_ context: StepContext) { project(on: context.compute) }

  /// Makes the prefix of a checkpoint's projection.
  public func restore(_ state: MethodState) throws(PEFTError) { project(on: Compute(threads: 1)) }

  /// The prefix in PEFT's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena, let prefix, let decoder else { return nil }
    project(on: Compute(threads: 1))
    let values = arena.values(prefix)
    return AdapterExport(
      configuration: configuration.json(baseName: baseName, decoder: decoder),
      tensors: [NamedTensor(name: prefix.name, shape: prefix.shape, values: values.elements)])
  }

  /// The projection's inner rows.
  public var byteCount: Int { stack?.byteCount ?? 0 }

  /// Why there is nothing to fold into.
  public var mergeRefusal: String? {
    "the prefix adds keys and values to every block, which no weight of the base can stand for"
  }

  /// Nothing is merged.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool { false }

  private func project(on compute: Compute) {
    isPrefixCurrent = true
    guard let prefix, let arena, let projection else { return }
    stack?.forward(arena.values(projection.embedding), into: arena.values(prefix), on: compute)
  }
}

/// One block's part of the prefix.
final class PrefixKeysAndValues: AttentionHook {
  private let keys, values, dKeys, dValues: MatrixView  // [P, K·D] each

  init(_ prefix: TrainedMatrix, block: Int, width: Int) {
    let keyColumns = (2 * block * width)..<((2 * block + 1) * width)
    let valueColumns = keyColumns.upperBound..<(keyColumns.upperBound + width)
    keys = prefix.values.columns(keyColumns)
    values = prefix.values.columns(valueColumns)
    dKeys = prefix.gradient.columns(keyColumns)
    dValues = prefix.gradient.columns(valueColumns)
  }

  var mode: AttentionHookMode { .joint }
  var prefixLength: Int { keys.rows }

  func fill(
    keys: MatrixView, values: MatrixView, block: any KeyValueProjecting, on compute: Compute
  ) {
    keys.copy(from: self.keys)
    values.copy(from: self.values)
  }

  func backward(
    dKeys: MatrixView, dValues: MatrixView, dGate: MatrixView, block: any KeyValueProjecting,
    on compute: Compute
  ) {
    Elementwise.add(dKeys, addingTo: self.dKeys, on: compute)
    Elementwise.add(dValues, addingTo: self.dValues, on: compute)
  }
}
