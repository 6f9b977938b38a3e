import JSON
import Kernels
import Model
import Tensors

/// AdaLoRA: arXiv:2303.10512 (Zhang and others, 2023).
///
/// Low-rank branches in the form of a singular value decomposition, whose ranks shrink to a budget
/// where they matter least.
///
///     y = base(x) + α/(R₀ + 1e-5) · (dropout(x) Aᵀ ⊙ e) Bᵀ      A [R₀, in], e [R₀], B [out, R₀]
///     loss = cross-entropy + γ/n · Σ ( ‖A Aᵀ − I‖_F + ‖Bᵀ B − I‖_F )
///
/// Parameters: Σ R₀·(in + out + 1) while training; the file holds the triplets that are left. e
/// starts at zero, so training starts at the base to the last bit. The divisor stays R₀ = `init_r`
/// after pruning. The loss that is logged leaves the regulariser out; its gradient is added once a
/// step, after the reduction, and counts in the importance. Optimiser moments are not reset.
/// A, B are the paper's Q, P. The method alone calls its allocator (`RankAllocator`): in PEFT the
/// training loop must, and often does not.
public final class AdaLoRA: PEFTMethod {
  /// `adalora`.
  public static let methodName = "adalora"
  /// `ADALORA`.
  public static let peftType: String? = "ADALORA"
  /// What a user may set.
  public static let fields: [MethodField] = AdaLoRAConfiguration.fields
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .weights(1e-3)
  }
  private let configuration: AdaLoRAConfiguration
  private var sites: [Site] = []
  private var base: BaseTensors
  private var tokens: TrainedTokens
  private var arena: ParameterArena?
  private var allocator: RankAllocator?
  private var orthogonality: OrthogonalityTerm?
  private var totalSteps: Int?
  private var savedTargets: JSONValue = .null
  private var isTransposed = false
  private var notes: [String] = []

  /// One adapted projection.
  private struct Site {
    let layer: LinearLayer
    let places: RankAllocator.Triplets
  }

  /// Reads AdaLoRA's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try AdaLoRAConfiguration(options)
    base = BaseTensors(modules: configuration.modulesToSave, bias: configuration.bias)
    tokens = configuration.tokens
    totalSteps = configuration.totalSteps
  }

  /// Finds out which embeddings a file brings along.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    base.prepareToLoad(tensors)
    return []
  }

  /// Declares A, B and E of every target, last block first.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let defaults = ReferenceDefaults.of(decoder.configuration).adalora
    let layers = try configuration.targeting.layers(of: decoder, defaults: defaults, method: name)
    savedTargets = configuration.targeting.saved(layers, of: decoder, defaults: defaults)
    isTransposed = layers.last?.weight.layout == .inputMajor
    notes = configuration.targeting.unmatched(in: decoder)
    let rank = configuration.initialRank
    plan.scratchByteCount += 4 * rank * rank  // of the orthogonality term
    for layer in layers.sorted(by: { $0.block > $1.block }) {
      let key = huggingFacePrefix + layer.path
      sites.append(
        Site(
          layer: layer,
          places: RankAllocator.Triplets(
            a: plan.declare("\(key).lora_A", shape: [rank, layer.inputSize]),
            e: plan.declare("\(key).lora_E", shape: [rank, 1]),
            b: plan.declare("\(key).lora_B", shape: [layer.outputSize, rank]))))
    }
    let paths = Set(layers.map(\.path))
    try base.declare(in: &plan, decoder: decoder, adapted: paths)
    try tokens.declare(
      in: &plan, decoder: decoder, adapted: paths, saved: base.saves, ensuresTying: false)
  }

  /// Attaches a hook to every target.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    allocator = RankAllocator(configuration, triplets: sites.map(\.places), arena: arena)
    orthogonality = OrthogonalityTerm(rank: configuration.initialRank)
    var hooks = HookSet()
    for site in sites {
      hooks.linear[site.layer.path] = SVDLinear(
        SVDLinear.Tensors(
          a: TrainedMatrix(site.places.a, in: arena), e: TrainedMatrix(site.places.e, in: arena),
          b: TrainedMatrix(site.places.b, in: arena)),
        scaling: configuration.scaling, dropout: configuration.dropout)
    }
    tokens.attach(to: &hooks, decoder: decoder, arena: arena)
    try hooks.attach(to: decoder, as: name, base: base, arena: arena)
  }

  /// E = 0, A and B ~ N(0, 0.02²); all N(0, 1) with `init_lora_weights` false.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    let deviation = configuration.startsAtIdentity ? 0.02 : 1
    for site in sites {
      for slot in [site.places.a, site.places.e, site.places.b] {
        CounterRandom(seed: seed, purpose: slot.name)
          .fillNormal(arena.values(slot), standardDeviation: deviation)
      }
      if configuration.startsAtIdentity { arena.values(site.places.e).fill(0) }
    }
    tokens.initialize(arena: arena)
  }

  /// Checks the schedule against the run's length.
  public func prepareRun(totalSteps run: Int) throws(PEFTError) -> [String] {
    let total = configuration.totalSteps ?? run
    totalSteps = total
    try configuration.checkSchedule(total)
    guard run < total else { return notes }
    return notes + [
      "The run ends at step \(run), before AdaLoRA's schedule does: total_step is \(total). The "
        + "adapter will keep more triplets than target_r \(configuration.targetRank) asks for."
    ]
  }

  // MARK: A step

  /// Adds the regulariser's gradient, once a step.
  public func didReduceGradients(_ context: StepContext) {
    guard let arena, let orthogonality, configuration.orthogonality > 0 else { return }
    let weight = configuration.orthogonality / Double(2 * sites.count)
    for site in sites {
      orthogonality.addGradient(
        rows: TrainedMatrix(site.places.a, in: arena), weight: weight, on: context.compute)
      orthogonality.addGradient(
        columns: TrainedMatrix(site.places.b, in: arena), weight: weight, on: context.compute)
    }
  }

  /// Lets the allocator see new weights and the gradients that moved them.
  public func didStep(_ context: StepContext) {
    allocator?.didStep(
      context.step, totalSteps: total(context), gradientScale: context.gradientScale)
  }

  /// The averages of importance.
  public var replicas: [(name: String, values: MatrixView)] { allocator?.replicas ?? [] }

  /// Budget and what is left of the triplets.
  public var figures: [String: JSONValue] {
    guard let allocator else { return [:] }
    return [
      "rank_budget": .int(allocator.budget),
      "rank_kept": .int(allocator.hasPattern ? allocator.kept.count { $0 } : allocator.kept.count),
    ]
  }

  private func total(_ context: StepContext) -> Int {
    let total = configuration.totalSteps ?? context.totalSteps
    totalSteps = total
    return total
  }

  // MARK: Files

  /// Takes tensors by their names; a pruned adapter's triplets go where `rank_pattern` has them,
  /// and the pruned ones keep their fresh start, with E = 0.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    var whole: [NamedTensor] = []
    for tensor in base.loaded(tensors, nil) {
      whole.append(try expanded(tensor, arena))
    }
    try loadAll(whole, into: arena, source: "the adapter")
  }

  private func expanded(_ tensor: NamedTensor, _ arena: ParameterArena) throws(PEFTError)
    -> NamedTensor
  {
    guard let slot = arena.slot(named: tensor.name), tensor.shape != slot.shape,
      let site = sites.first(where: {
        [$0.places.a.name, $0.places.b.name, $0.places.e.name].contains(tensor.name)
      })
    else { return tensor }
    let rank = configuration.initialRank
    let kept = configuration.rankPattern[RankAllocator.patternKey(site.places.e)] ?? []
    let places = kept.indices.filter { kept[$0] }
    let isColumns = slot == site.places.b
    let expected =
      isColumns ? [slot.rows, places.count] : [places.count, slot.columns]
    guard kept.count == rank, tensor.shape == expected else {
      throw .misshapenTensor(name: tensor.name, found: tensor.shape, expected: slot.shape)
    }
    let values = arena.values(slot)
    if slot == site.places.e { values.fill(0) }
    for (index, place) in places.enumerated() {
      for j in 0..<(isColumns ? slot.rows : slot.columns) {
        if isColumns {
          values[j, place] = tensor.values[j * places.count + index]
        } else {
          values[place, j] = tensor.values[index * slot.columns + j]
        }
      }
    }
    return NamedTensor(name: slot.name, shape: slot.shape, values: values.elements)
  }

  /// Averages, pattern and the schedule's length.
  public var state: MethodState {
    var state = allocator?.state ?? MethodState()
    if let totalSteps { state.fields["total_step"] = .int(totalSteps) }
    return state
  }

  /// Takes them back.
  public func restore(_ state: MethodState) throws(PEFTError) {
    try allocator?.restore(state)
    if let saved = state.fields["total_step"]?.int { totalSteps = totalSteps ?? saved }
  }

  /// The adapter in PEFT's format.
  ///
  /// Once there was a mask, triplets with E = 0 that it dropped are left out. What has grown back
  /// since stays, so that the file gives the model's logits in the middle of the schedule too,
  /// where PEFT's own files do not.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena, let allocator else { return nil }
    let rank = configuration.initialRank
    var isLeft = Array(repeating: true, count: allocator.kept.count)
    if allocator.hasPattern {
      for (module, site) in sites.enumerated() {
        let e = arena.values(site.places.e)
        for i in 0..<rank {
          isLeft[module * rank + i] = allocator.kept[module * rank + i] || e[i, 0] != 0
        }
      }
    }
    var tensors: [NamedTensor] = []
    let modules = Dictionary(
      uniqueKeysWithValues: sites.enumerated().flatMap { module, site in
        [site.places.a, site.places.e, site.places.b].map { ($0.name, module) }
      })
    for tensor in storedTensors(of: arena) {
      guard let module = modules[tensor.name] else {
        tensors.append(tensor)
        continue
      }
      let places = (0..<rank).filter { isLeft[module * rank + $0] }
      let isColumns = tensor.name == sites[module].places.b.name
      tensors.append(Self.cut(tensor, to: places, isColumns: isColumns))
    }
    let fallback = configuration.warmupSteps + configuration.finalSteps + 1
    return AdapterExport(
      configuration: configuration.json(
        baseName: baseName, targets: savedTargets, isTransposed: isTransposed,
        totalSteps: totalSteps ?? fallback,
        pattern: allocator.hasPattern ? .object(allocator.pattern { isLeft[$0] }) : .null),
      tensors: tensors)
  }

  /// The triplets that the rank pattern has left; a checkpoint keeps every one.
  public static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String]
  ) -> AdapterExport {
    let pattern = configuration["rank_pattern"]
    let kept = tensors.map { tensor -> NamedTensor in
      let suffix = tensor.name.suffix(7)
      guard tensor.shape.count == 2, [".lora_A", ".lora_B", ".lora_E"].contains(suffix),
        tensor.name.hasPrefix(huggingFacePrefix)
      else { return tensor }
      let module = tensor.name.dropFirst(huggingFacePrefix.count).dropLast(7)
      guard let left = pattern?[module + ".lora_E"]?.array else { return tensor }
      let places = left.indices.filter { left[$0].bool == true }
      return cut(tensor, to: places, isColumns: suffix == ".lora_B")
    }
    return AdapterExport(configuration: configuration, tensors: kept, notes: notes)
  }

  private static func cut(_ tensor: NamedTensor, to places: [Int], isColumns: Bool) -> NamedTensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let all = tensor.values
    var values: [Float] = []
    if isColumns {
      for row in 0..<rows {
        for place in places { values.append(all[row * columns + place]) }
      }
    } else {
      for place in places {
        values += all[(place * columns)..<((place + 1) * columns)]
      }
    }
    let shape = isColumns ? [rows, places.count] : [places.count, columns]
    return NamedTensor(name: tensor.name, shape: shape, values: values)
  }

  /// The importance averages and the regulariser's matrix.
  public var byteCount: Int { (allocator?.byteCount ?? 0) + (orthogonality?.byteCount ?? 0) }

  // MARK: Merging

  /// AdaLoRA folds into the base.
  public var mergeRefusal: String? { nil }

  /// `W ← W + s·B (A ⊙ E)`, transposed where the base is.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool {
    guard let arena else { return false }
    var isChanged = base.merge(into: values, of: name, arena: arena)
    if tokens.merge(into: values, of: name, decoder: decoder, arena: arena) { isChanged = true }
    guard let site = sites.first(where: { name == $0.layer.path + ".weight" }) else {
      return isChanged
    }
    let compute = Compute(threads: 1)
    let (a, b) = (arena.values(site.places.a), arena.values(site.places.b))
    let scaled = OwnedMatrix(rows: a.rows, columns: a.columns)
    Elementwise.scaleRows(a, by: arena.values(site.places.e), into: scaled.view, on: compute)
    let scaling = Float(configuration.scaling)
    if site.layer.weight.layout == .outputMajor {
      Product.multiply(
        b, by: scaled.view, into: values, scale: scaling, adding: true, on: compute)
    } else {
      Product.multiply(
        scaled.view, transposed: true, by: b, transposed: true, into: values, scale: scaling,
        adding: true, on: compute)
    }
    return true
  }
}
