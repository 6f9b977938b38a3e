import JSON
import Kernels
import Model
import Tensors

/// MiSS, matrix shard sharing: arXiv:2409.15371 (Kang and Yin, 2024).
///
/// The input's features are cut into shards of r, the last one filled up with zeros; all shards
/// share one matrix, so what a shard's place holds is summed first.
///
///     s = Σ_j dropout(x)[:, jr ..< (j+1)r]        [tokens, r]
///     y = x Wᵀ + b + s M                          M [r, out], from zero
///
/// Parameters: Σ r·out. `init_weights` `mini` has M = [m m … m] with m [r, mini_r]: Σ r·mini_r;
/// `bat` has a matrix B_i [r, r] for every shard of the output and W_ij ← W_ij + W_ij B_i + B_i: Σ
/// r·out, and a product with the whole weight (`BatLinear`). All start at the base to the last bit.
///
/// It knows no scaling. Where PEFT has nothing: GPT-2's transposed weights, but not with `bat`.
public final class MiSS: PEFTMethod {
  /// `miss`.
  public static let methodName = "miss"
  /// `MISS`.
  public static let peftType: String? = "MISS"
  /// What a user may set.
  public static let fields: [MethodField] = MiSSConfiguration.fields
  /// As LoRA's: see `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .weights(5e-4)
  }

  private let configuration: MiSSConfiguration
  private var sites: [(layer: LinearLayer, slot: ParameterSlot)] = []
  private var base: BaseTensors
  private var arena: ParameterArena?
  private var memory: BatMemory?
  private var savedTargets: JSONValue = .null
  private var notes: [String] = []

  /// Reads the method's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try MiSSConfiguration(options)
    base = BaseTensors(
      modules: configuration.targeting.modulesToSave, bias: configuration.bias)
  }

  /// Says which names nothing answers to.
  public func prepareRun(totalSteps: Int) throws(PEFTError) -> [String] { notes }

  /// Finds out which embeddings a file brings along.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    base.prepareToLoad(tensors)
    return []
  }

  /// Declares a tensor for every target, last block first.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let defaults = ReferenceDefaults.of(decoder.configuration).lora
    let layers = try configuration.targeting.layers(of: decoder, defaults: defaults, method: name)
    savedTargets = configuration.targeting.saved(layers, of: decoder, defaults: defaults)
    notes = configuration.targeting.unmatched(in: decoder)
    for layer in layers.sorted(by: { $0.block > $1.block }) {
      let shape = try configuration.shape(layer)
      sites.append(
        (layer, plan.declare("\(huggingFacePrefix)\(layer.path).miss_block", shape: shape)))
    }
    try base.declare(in: &plan, decoder: decoder, adapted: Set(layers.map(\.path)))
  }

  /// Attaches a hook to every target.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    if configuration.variant == .bat {
      memory = BatMemory(
        sites.map { $0.layer.inputSize * $0.layer.outputSize }.max() ?? 0,
        isPlanned: arena.isPlanned)
    }
    var hooks = HookSet()
    for (layer, slot) in sites {
      let matrix = TrainedMatrix(slot, in: arena)
      hooks.linear[layer.path] =
        if let memory {
          BatLinear(matrix, memory: memory)
        } else {
          MiSSLinear(matrix, layer: layer, dropout: configuration.dropout)
        }
    }
    try hooks.attach(to: decoder, as: name, base: base, arena: arena)
  }

  /// Zeros; U(±1/√out) with `init_weights` false.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    for (_, slot) in sites {
      let values = arena.values(slot)
      guard configuration.variant == .random else {
        values.fill(0)
        continue
      }
      let bound = 1 / Double(values.columns).squareRoot()
      CounterRandom(seed: seed, purpose: slot.name).fillUniform(values, low: -bound, high: bound)
    }
  }

  /// Takes every tensor by its name.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(base.loaded(tensors, nil), into: arena, source: "the adapter")
  }

  /// The adapter in PEFT's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena else { return nil }
    let isTransposed = sites.contains { $0.layer.weight.layout == .inputMajor }
    let notes = [
      "PEFT \(peftVersion) has no MiSS for GPT-2's transposed projections: this program reads the "
        + "adapter, PEFT will not."
    ]
    return AdapterExport(
      configuration: configuration.json(baseName: baseName, targets: savedTargets),
      tensors: storedTensors(of: arena), notes: isTransposed ? notes : [])
  }

  /// What `bat` works in.
  public var byteCount: Int { memory?.byteCount ?? 0 }

  /// MiSS folds into the base.
  public var mergeRefusal: String? { nil }

  /// `W[o, i] ← W[o, i] + M[i mod r, o]`, or `W_ij ← W_ij + W_ij B_i + B_i`.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool {
    guard let arena else { return false }
    let isReplaced = base.merge(into: values, of: name, arena: arena)
    guard let (layer, slot) = sites.first(where: { name == $0.layer.path + ".weight" }) else {
      return isReplaced
    }
    let m = arena.values(slot)
    if memory != nil {
      let change = OwnedMatrix(rows: values.rows, columns: values.columns)
      BatLinear.change(of: values, by: m, into: change.view, on: Compute(threads: 1))
      Elementwise.add(change.view, addingTo: values, on: Compute(threads: 1))
      return true
    }
    let isOutputMajor = layer.weight.layout == .outputMajor
    for output in 0..<layer.outputSize {
      for input in 0..<layer.inputSize {
        let change = m[input % m.rows, output % m.columns]
        if isOutputMajor {
          values[output, input] += change
        } else {
          values[input, output] += change
        }
      }
    }
    return true
  }
}
