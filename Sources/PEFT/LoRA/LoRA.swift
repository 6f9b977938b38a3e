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
/// The token table is a projection of tokens, in = vocabulary and out = hidden, whose A starts at zero
/// (`LoRATable`); the head is one like others. Where both are one tensor each is adapted by itself, or
/// with `ensure_weight_tying` both alike (`TiedFactors`).
/// GPT-2's fused `c_attn` gets one pair with out = 3·hidden; a transposed base weight changes nothing
/// but merging. PiSSA and OLoRA start in the base's weights (`LoRA+InitialFactors.swift`); PEFT's other
/// starts are refused by name.
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
  private(set) var configuration: LoRAConfiguration
  var sites: [Site] = []
  private var stacked: [StackedSite] = []
  private var stackedParts: [String: (site: StackedSite, part: StackedSite.Part)] = [:]
  private var expertScratch: ExpertLoRALinear.Scratch?
  var base: BaseTensors
  private var tokens: TrainedTokens
  private var magnitudes: [DoRAMagnitude] = []
  private var tied: TiedFactors?
  private var tiesHead = false
  private(set) var arena: ParameterArena?
  private var decoder: Decoder?
  private var savedTargets: JSONValue = .null
  private var isTransposed = false
  private var isLoading = false
  private var bringsInitialFactors = false
  private var notes: [String] = []

  /// One adapted projection, or the token table.
  struct Site {
    /// Module path.
    let path: String
    /// The projection; nil for the table.
    let layer: LinearLayer?
    let scaling: Double
    let rank: Int
    let a, b: ParameterSlot
    var bias: ParameterSlot?
    let magnitude: ParameterSlot?
    /// A₀ and B₀, where A and B start in the base.
    var initial: (a: ParameterSlot, b: ParameterSlot)?
  }

  /// Reads LoRA's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try LoRAConfiguration(options)
    base = BaseTensors(modules: configuration.modulesToSave, bias: configuration.bias)
    tokens = configuration.tokens
  }

  /// Tensors of a file need no start of their own.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    isLoading = true
    bringsInitialFactors = tensors.contains { $0.name.hasSuffix(InitialFactors.suffix) }
    base.prepareToLoad(tensors)
    return []
  }

  /// Says which names and patterns nothing answers to.
  public func prepareRun(totalSteps: Int) throws(PEFTError) -> [String] { notes }

  /// Declares A and B of every target, then trained base tensors, last block first.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    self.decoder = decoder
    configuration = try configuration.forExperts(of: decoder)
    let defaults = ReferenceDefaults.of(decoder.configuration).lora
    let selection = try select(in: decoder, defaults: defaults)
    let layers = selection.layers + (selection.tiesHead ? [decoder.head] : [])
    tiesHead = selection.tiesHead
    savedTargets = configuration.targeting.saved(
      selection.layers, of: decoder, defaults: defaults)
    // PEFT writes what the last of them is; a table is none.
    isTransposed =
      layers.last.map { $0.weight.layout == .inputMajor } ?? configuration.isTransposed
    let paths = layers.map(\.path) + (selection.hasTable ? [decoder.tablePath] : [])
    stacked = try declareStacked(in: &plan, decoder: decoder)
    for site in stacked {
      for part in site.layers { stackedParts[part.layer.path + ".weight"] = (site, part) }
    }
    notes +=
      try configuration.targeting.unmatched(in: decoder)
      + configuration.patternNotes(paths + stacked.map(\.parameter.path))
    for layer in layers.sorted(by: { $0.block > $1.block }) {
      sites.append(try site(of: layer, in: &plan))
    }
    if selection.hasTable { sites.append(try site(ofTable: decoder, in: &plan)) }
    try base.declare(in: &plan, decoder: decoder, adapted: Set(paths))
    try tokens.declare(
      in: &plan, decoder: decoder, adapted: Set(paths), saved: base.saves,
      ensuresTying: configuration.ensuresTying)
  }

  /// The modules that are adapted; ties saved ones first, as PEFT does.
  private func select(
    in decoder: Decoder, defaults: [String]?
  ) throws(PEFTError) -> ModuleTargeting.Selection {
    let ensures = configuration.ensuresTying
    let tiesSaved =
      ensures && decoder.isHeadTied && WeightTying.concerns(configuration.modulesToSave)
    var targeting = configuration.targeting
    if tiesSaved {
      try base.tie(decoder)
      targeting.modulesToSave = base.modules
    }
    let selection = try targeting.selection(
      of: decoder, defaults: configuration.targetParameters.isEmpty ? defaults : defaults ?? [],
      method: name, ensuresTying: ensures && !tiesSaved,
      mayBeEmpty: !configuration.targetParameters.isEmpty)
    let hasHead = selection.layers.contains { $0 === decoder.head }
    if tiesSaved && (hasHead || selection.hasTable) {
      throw .inconsistentFields(
        "ensure_weight_tying trains \(decoder.tablePath) and \(decoder.head.path) as one, by "
          + "modules_to_save, and target_modules names one of them as well", source: name)
    }
    if ensures && !tiesSaved && !selection.tiesHead && !tokens.isUsed {
      notes.append(
        decoder.isHeadTied
          ? "ensure_weight_tying has no effect: neither target_modules nor modules_to_save names "
            + "embed_tokens or lm_head."
          : "ensure_weight_tying has no effect: the head of this model is not tied to its token table."
      )
    }
    return selection
  }

  private func site(
    of layer: LinearLayer, in plan: inout ParameterArenaPlan
  ) throws(PEFTError) -> Site {
    let rank = try configuration.rank(layer.path)
    if configuration.startsInBase && rank > min(layer.inputSize, layer.outputSize) {
      throw .unsupportedBase(
        method: name,
        reason: "\(layer.path) is \(layer.outputSize) by \(layer.inputSize) and has no \(rank) "
          + "factors to start from")
    }
    if configuration.startsInBase && decoder?.table === layer.weight {
      throw .unsupportedBase(
        method: "lora with init_lora_weights in the base",
        reason: "\(layer.path) is tied to the token table, which would change along")
    }
    let key = huggingFacePrefix + layer.path
    if configuration.hasBias && layer.bias == nil {
      throw .unsupportedBase(
        method: "lora with lora_bias", reason: "\(layer.path) has no bias to add to")
    }
    return Site(
      path: layer.path, layer: layer, scaling: try configuration.scaling(layer.path), rank: rank,
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
        ) : nil)
  }

  /// Attaches a hook to every target and moves trained base tensors into the arena.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    var hooks = HookSet()
    // What DoRA takes the norms of.
    try base.replaceEmbeddings(of: decoder, arena: arena, as: name)
    for site in sites {
      let tensors = LoRATensors(
        a: TrainedMatrix(site.a, in: arena), b: TrainedMatrix(site.b, in: arena),
        bias: site.bias.map { TrainedMatrix($0, in: arena) })
      let magnitude = site.magnitude.map {
        DoRAMagnitude(
          TrainedMatrix($0, in: arena), tensors: tensors, scaling: site.scaling,
          weight: site.layer?.weight.matrix ?? decoder.table.matrix.turned, path: site.path)
      }
      if let magnitude { magnitudes.append(magnitude) }
      if site.layer == nil {
        hooks.table = LoRATable(tensors: tensors, magnitude: magnitude, scaling: site.scaling)
      } else {
        hooks.linear[site.path] = hook(site, tensors, magnitude, arena)
      }
    }
    if !stacked.isEmpty { expertScratch = Self.attach(stacked, to: &hooks, arena: arena) }
    if tiesHead, let table = sites.last, let head = sites.first {
      tied = TiedFactors(
        a: arena.values(table.a), b: arena.values(table.b), headA: arena.values(head.a),
        headB: arena.values(head.b))
      // DoRA scales rows of the one and columns of the other.
      hooks.changesHeadAsTable = !configuration.usesDoRA
    }
    tokens.attach(to: &hooks, decoder: decoder, arena: arena)
    try hooks.attach(to: decoder, as: name, base: base, arena: arena)
  }

  private func hook(
    _ site: Site, _ tensors: LoRATensors, _ magnitude: DoRAMagnitude?, _ arena: ParameterArena
  ) -> any LinearHook {
    if let magnitude {
      return DoRALinear(
        tensors: tensors, magnitude: magnitude, scaling: site.scaling,
        dropout: configuration.dropout)
    }
    return LoRALinear(
      tensors: tensors,
      initial: site.initial.map { InitialFactors(a: arena.values($0.a), b: arena.values($0.b)) },
      scaling: site.scaling, dropout: configuration.dropout)
  }

  /// Draws A (and B where it does not start at zero); each tensor's numbers depend on the seed and
  /// its name alone.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    for site in sites {
      try initialize(site, arena, seed: seed)
      if let bias = site.bias { arena.values(bias).fill(0) }
    }
    for site in stacked { initialize(site, arena, seed: seed) }
    // What both factors are drawn as is the head's start, but for two that are normal.
    tied?.copy(fromHead: configuration.initialization != .random)
    tokens.initialize(arena: arena)
    updateMagnitudes(startsThere: true, on: Compute(threads: 1))
  }

  private func initialize(
    _ site: Site, _ arena: ParameterArena, seed: UInt64
  ) throws(PEFTError) {
    let (a, b) = (arena.values(site.a), arena.values(site.b))
    let bound = 1 / Double(a.columns).squareRoot()
    let randomA = CounterRandom(seed: seed, purpose: site.a.name)
    let randomB = CounterRandom(seed: seed, purpose: site.b.name)
    if case .foreign(let word) = configuration.initialization {
      if isLoading { return }
      throw .unsupportedField(
        name: "init_lora_weights", value: word,
        expected: "true, false, gaussian, pissa, pissa_niter_N, olora for a new adapter",
        source: name)
    }
    if site.layer == nil {
      a.fill(0)
      if configuration.initialization == .random { randomA.fillNormal(a, standardDeviation: 1) }
      return randomB.fillNormal(b, standardDeviation: 1)
    }
    b.fill(0)
    switch configuration.initialization {
    case .kaiming, .foreign: randomA.fillUniform(a, low: -bound, high: bound)
    case .pissa, .olora:
      if !bringsInitialFactors { factor(site, arena, seed: seed) }
    case .gaussian: randomA.fillNormal(a, standardDeviation: 1 / Double(site.rank))
    case .random:
      randomA.fillUniform(a, low: -bound, high: bound)
      let boundB = 1 / Double(site.rank).squareRoot()
      randomB.fillUniform(b, low: -boundB, high: boundB)
    }
  }

  /// Takes every tensor by its name.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    // A checkpoint of a run that started in the base, read as the plain LoRA that it is stored as.
    let taken = configuration.startsInBase ? tensors : Self.joined(tensors)
    try loadAll(base.loaded(taken, decoder), into: arena, source: "the adapter")
    // PEFT reads the head after the table, into the same memory.
    tied?.copy(fromHead: true)
    for magnitude in magnitudes where base.replacesEmbeddings { magnitude.readWeight() }
    updateMagnitudes(on: Compute(threads: 1))
  }

  /// LoRA+: B, and as in PEFT's helper every vector, learns `loraplus_lr_ratio` times faster.
  public func learningRateFactor(of slot: ParameterSlot) -> Double {
    let isFast =
      slot.shape.count == 1 || sites.contains { $0.b == slot }
      || stacked.contains { $0.b == slot }
    return isFast ? configuration.plusRatio : 1
  }

  /// Ties what shall be one, and makes DoRA's factors of the new values.
  public func didStep(_ context: StepContext) {
    tied?.didStep(decay: context.decay)
    updateMagnitudes(on: context.compute)
  }

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
    guard let arena, let decoder else { return nil }
    let stored = configuration.startsInBase ? configuration.converted : configuration
    return Self.export(
      storedTensors(of: arena),
      configuration: stored.json(
        baseName: baseName, targets: savedTargets, savedModules: base.savedModules,
        isTransposed: isTransposed, canTie: decoder.configuration.tiesEmbeddings), notes: [])
  }

  /// DoRA's factors, and what ties factors.
  public var byteCount: Int {
    magnitudes.reduce((tied?.byteCount ?? 0) + (expertScratch?.byteCount ?? 0)) {
      $0 + $1.byteCount
    }
  }

  /// LoRA folds into the base.
  public var mergeRefusal: String? { nil }

  /// `W ← W + s·B A`, transposed where the base is, and its outputs scaled with DoRA; trained base
  /// tensors and rows take their place.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool {
    guard let arena else { return false }
    var isChanged = base.merge(into: values, of: name, arena: arena)
    if tokens.merge(into: values, of: name, decoder: decoder, arena: arena) { isChanged = true }
    if let (site, part) = stackedParts[name] {
      Self.merge(site, part, into: values, arena)
      return true
    }
    let compute = Compute(threads: 1)
    for (index, site) in sites.enumerated() {
      let scaling = Float(site.scaling)
      if name == site.path + ".weight" {
        let (a, b) = (arena.values(site.a), arena.values(site.b))
        let isOutputMajor = site.layer?.weight.layout == .outputMajor
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
      if name == site.path + ".bias", let bias = site.bias {
        let row = values.reshaped(rows: 1, columns: values.count)
        RowBias.forward(arena.values(bias), scale: scaling, addingTo: row, on: compute)
        return true
      }
    }
    return isChanged
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
}
