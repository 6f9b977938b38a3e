import JSON
import Kernels
import Model
import Tensors

/// Low-rank adaptation of projections: LoRA, arXiv:2106.09685 (Hu and others, 2021).
///
///     y = x Wᵀ + b + s·dropout(x) Aᵀ Bᵀ        A [R, in], B [out, R], s = α/R or α/√R
///
/// Parameters: Σ R·(in + out) over the adapted projections (plus `out` each with `lora_bias`, plus
/// base biases and saved modules where asked). B starts at zero, so training starts at the base.
/// GPT-2's fused `c_attn` gets one pair with out = 3·hidden; a transposed base weight changes
/// nothing but merging. PiSSA and OLoRA start in the base's weights (`LoRA+InitialFactors.swift`);
/// PEFT's other starts are refused by name.
///
/// Variants: rank-stabilised LoRA (`use_rslora`, α/√R), DoRA (`use_dora`: a trained length for
/// every output, `out` parameters more; see `DoRALinear`), and LoRA+ (`loraplus_lr_ratio`, Hayou,
/// Ghosh and Yu 2024, arXiv:2402.12354: B and all vectors learn that many times faster than A).
public final class LoRA: PEFTMethod {
  /// `lora`.
  public static let methodName = "lora"
  /// `LORA`.
  public static let peftType: String? = "LORA"
  /// What a user may set.
  public static let fields: [MethodField] = LoRAConfiguration.fields
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .weights(5e-4)
  }
  let configuration: LoRAConfiguration
  private var sites: [Site] = []
  private var base: BaseTensors
  private var magnitudes: [DoRAMagnitude] = []
  private var arena: ParameterArena?
  private var savedTargets: JSONValue = .null
  private var isTransposed = false
  private var isLoading = false
  private var bringsInitialFactors = false
  private var notes: [String] = []

  /// One adapted projection.
  struct Site {
    let layer: LinearLayer
    let scaling: Double
    let rank: Int
    let a, b: ParameterSlot
    let bias: ParameterSlot?
    let magnitude: ParameterSlot?
    /// A₀ and B₀, where A and B start in the base.
    let initial: (a: ParameterSlot, b: ParameterSlot)?
  }

  /// Reads LoRA's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try LoRAConfiguration(options)
    base = BaseTensors(modules: configuration.modulesToSave, bias: configuration.bias)
  }

  /// Tensors of a file need no start of their own.
  public func prepareToLoad(_ names: [String]) throws(PEFTError) -> [String] {
    isLoading = true
    bringsInitialFactors = names.contains { $0.hasSuffix(InitialFactors.suffix) }
    return []
  }

  /// Says which names and patterns nothing answers to.
  public func prepareRun(totalSteps: Int) throws(PEFTError) -> [String] { notes }

  /// Declares A and B of every target, then trained base tensors, last block first.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let defaults = Self.defaultTargets(decoder.configuration.family)
    let layers = try configuration.targeting.layers(of: decoder, defaults: defaults, method: name)
    savedTargets = configuration.targeting.saved(layers, of: decoder, defaults: defaults)
    isTransposed = layers.contains { $0.weight.layout == .inputMajor }
    notes =
      try configuration.targeting.unmatched(in: decoder)
      + configuration.unmatchedPatterns(layers.map(\.path))
    for layer in layers.sorted(by: { $0.block > $1.block }) {
      let rank = try configuration.rank(layer.path)
      if configuration.startsInBase && rank > min(layer.inputSize, layer.outputSize) {
        throw .unsupportedBase(
          method: name,
          reason: "\(layer.path) is \(layer.outputSize) by \(layer.inputSize) and has no \(rank) "
            + "factors to start from")
      }
      let key = huggingFacePrefix + layer.path
      if configuration.hasBias && layer.bias == nil {
        throw .unsupportedBase(
          method: "lora with lora_bias", reason: "\(layer.path) has no bias to add to")
      }
      sites.append(
        Site(
          layer: layer, scaling: try configuration.scaling(layer.path), rank: rank,
          a: plan.declare("\(key).lora_A.weight", shape: [rank, layer.inputSize]),
          b: plan.declare("\(key).lora_B.weight", shape: [layer.outputSize, rank]),
          bias: configuration.hasBias
            ? plan.declare("\(key).lora_B.bias", shape: [layer.outputSize]) : nil,
          magnitude: configuration.usesDoRA
            ? plan.declare("\(key).lora_magnitude_vector", shape: [layer.outputSize]) : nil,
          initial: configuration.startsInBase
            ? (
              plan.declare(
                "\(key).lora_A" + InitialFactors.suffix, shape: [rank, layer.inputSize],
                role: .fixed),
              plan.declare(
                "\(key).lora_B" + InitialFactors.suffix, shape: [layer.outputSize, rank],
                role: .fixed)
            ) : nil))
    }
    try base.declare(in: &plan, decoder: decoder, adapted: Set(layers.map(\.path)))
  }

  /// Attaches a hook to every target and moves trained base tensors into the arena.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    var hooks = HookSet()
    for site in sites {
      let tensors = LoRATensors(
        a: TrainedMatrix(site.a, in: arena), b: TrainedMatrix(site.b, in: arena),
        bias: site.bias.map { TrainedMatrix($0, in: arena) })
      hooks.linear[site.layer.path] = hook(site, tensors, arena)
    }
    try hooks.attach(to: decoder, as: name, base: base, arena: arena)
  }

  private func hook(_ site: Site, _ tensors: LoRATensors, _ arena: ParameterArena)
    -> any LinearHook
  {
    guard let slot = site.magnitude else {
      return LoRALinear(
        tensors: tensors,
        initial: site.initial.map {
          InitialFactors(a: arena.values($0.a), b: arena.values($0.b))
        }, scaling: site.scaling, dropout: configuration.dropout)
    }
    let magnitude = DoRAMagnitude(
      TrainedMatrix(slot, in: arena), tensors: tensors, scaling: site.scaling, layer: site.layer)
    magnitudes.append(magnitude)
    return DoRALinear(
      tensors: tensors, magnitude: magnitude, scaling: site.scaling,
      dropout: configuration.dropout)
  }

  /// Draws A (and B where it does not start at zero); each tensor's numbers depend on the seed and
  /// its name alone.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    for site in sites {
      let (a, b) = (arena.values(site.a), arena.values(site.b))
      let bound = 1 / Double(a.columns).squareRoot()
      let randomA = CounterRandom(seed: seed, purpose: site.a.name)
      b.fill(0)
      switch configuration.initialization {
      case .kaiming: randomA.fillUniform(a, low: -bound, high: bound)
      case .pissa, .olora:
        if !bringsInitialFactors { factor(site, arena, seed: seed) }
      case .foreign(let word):
        if isLoading { continue }
        throw .unsupportedField(
          name: "init_lora_weights", value: word,
          expected: "true, false, gaussian, pissa, pissa_niter_N, olora for a new adapter",
          source: name)
      case .gaussian: randomA.fillNormal(a, standardDeviation: 1 / Double(site.rank))
      case .random:
        randomA.fillUniform(a, low: -bound, high: bound)
        let boundB = 1 / Double(site.rank).squareRoot()
        CounterRandom(seed: seed, purpose: site.b.name)
          .fillUniform(b, low: -boundB, high: boundB)
      }
      if let bias = site.bias { arena.values(bias).fill(0) }
    }
    updateMagnitudes(startsThere: true, on: Compute(threads: 1))
  }

  /// Takes every tensor by its name.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    // A checkpoint of a run that started in the base, read as the plain LoRA that it is stored as.
    let taken = configuration.startsInBase ? tensors : Self.joined(tensors)
    try loadAll(taken, into: arena, source: "the adapter")
    updateMagnitudes(on: Compute(threads: 1))
  }

  /// LoRA+: B, and as in PEFT's helper every vector, learns `loraplus_lr_ratio` times faster.
  public func learningRateFactor(of slot: ParameterSlot) -> Double {
    let isFast = slot.shape.count == 1 || sites.contains { $0.b == slot }
    return isFast ? configuration.plusRatio : 1
  }

  /// Makes DoRA's factors of the new values.
  public func didStep(_ context: StepContext) { updateMagnitudes(on: context.compute) }

  /// Makes DoRA's factors of a checkpoint's values.
  public func restore(_ state: MethodState) throws(PEFTError) {
    updateMagnitudes(on: Compute(threads: 1))
  }

  /// DoRA's factors.
  public var replicas: [(name: String, values: MatrixView)] {
    magnitudes.flatMap(\.replicas)
  }

  private func updateMagnitudes(startsThere: Bool = false, on compute: Compute) {
    for magnitude in magnitudes { magnitude.update(startsThere: startsThere, on: compute) }
  }

  /// The adapter in PEFT's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena else { return nil }
    let stored = configuration.startsInBase ? configuration.converted : configuration
    return Self.export(
      storedTensors(of: arena),
      configuration: stored.json(
        baseName: baseName, targets: savedTargets, isTransposed: isTransposed), notes: [])
  }

  /// DoRA's factors.
  public var byteCount: Int { magnitudes.reduce(0) { $0 + $1.byteCount } }

  /// LoRA folds into the base.
  public var mergeRefusal: String? { nil }

  /// `W ← W + s·B A`, transposed where the base is, and its outputs scaled with DoRA; trained base
  /// tensors take their place.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool {
    guard let arena else { return false }
    let isReplaced = base.merge(into: values, of: name, arena: arena)
    let compute = Compute(threads: 1)
    for (index, site) in sites.enumerated() {
      let scaling = Float(site.scaling)
      if name == site.layer.path + ".weight" {
        let (a, b) = (arena.values(site.a), arena.values(site.b))
        let isOutputMajor = site.layer.weight.layout == .outputMajor
        Self.add(
          InitialFactors(a: a, b: b), times: scaling, to: values, isOutputMajor: isOutputMajor,
          on: compute)
        if let initial = site.initial {
          Self.add(
            InitialFactors(a: arena.values(initial.a), b: arena.values(initial.b)),
            times: -scaling, to: values, isOutputMajor: isOutputMajor, on: compute)
        }
        guard site.magnitude != nil else { return true }
        let factor = magnitudes[index].factor
        if isOutputMajor {
          let column = factor.reshaped(rows: factor.count, columns: 1)
          Elementwise.scaleRows(values, by: column, into: values, on: compute)
        } else {
          Elementwise.scaleColumns(values, by: factor, into: values, on: compute)
        }
        return true
      }
      if name == site.layer.path + ".bias", let bias = site.bias {
        let row = values.reshaped(rows: 1, columns: values.count)
        RowBias.forward(arena.values(bias), scale: scaling, addingTo: row, on: compute)
        return true
      }
    }
    return isReplaced
  }

  private static func add(
    _ factors: InitialFactors, times scale: Float, to values: MatrixView, isOutputMajor: Bool,
    on compute: Compute
  ) {
    if isOutputMajor {
      Product.multiply(
        factors.b, by: factors.a, into: values, scale: scale, adding: true, on: compute)
    } else {
      Product.multiply(
        factors.a, transposed: true, by: factors.b, transposed: true, into: values,
        scale: scale, adding: true, on: compute)
    }
  }

  /// PEFT's defaults for `target_modules`.
  static func defaultTargets(_ family: ModelFamily) -> [String]? {
    switch family {
    case .llama, .mistral, .qwen2, .qwen3: ["q_proj", "v_proj"]
    case .gpt2: ["c_attn"]
    }
  }
}
