import JSON
import Kernels
import Model
import Tensors

/// Infused adapter by inhibiting and amplifying inner activations: arXiv:2205.05638 (Liu and
/// others, 2022).
///
/// A trained factor for each feature of some projections:
///
///     y = l ⊙ (x Wᵀ + b)        output side: keys, values; the bias is scaled too
///     y = (l ⊙ x) Wᵀ + b        input side: `feedforward_modules`
///
/// Parameters: Σ out over the output sides + Σ in over the input sides; Llama's default
/// L·(2·K·D + F), GPT-2's L·7H, since its fused `c_attn` scales queries along with keys and values.
/// All factors start at 1, so training starts at the base to the last bit. Keys are scaled before
/// rotation. Weight decay pulls the factors towards 0, not 1: leave it off.
public final class IA3: PEFTMethod {
  /// `ia3`.
  public static let methodName = "ia3"
  /// `IA3`.
  public static let peftType: String? = "IA3"
  /// What a user may set.
  public static let fields: [MethodField] = IA3Configuration.fields
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .constant(3e-2)
  }
  private let configuration: IA3Configuration
  private var sites: [Site] = []
  private var base: BaseTensors
  private var arena: ParameterArena?
  private var savedTargets: JSONValue = .null
  private var savedFeedForward: JSONValue = .null
  private var isTransposed = false
  private var notes: [String] = []

  /// One adapted projection.
  private struct Site {
    let layer: LinearLayer
    let slot: ParameterSlot
    let isInputSide: Bool
  }

  /// Reads (IA)³'s fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try IA3Configuration(options)
    base = BaseTensors(modules: configuration.modulesToSave)
  }

  /// Finds out which embeddings a file brings along.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    base.prepareToLoad(tensors)
    return []
  }

  /// Declares a vector for every target, last block first: a column [out, 1] for an output side, a
  /// row [1, in] for an input side, as PEFT stores them.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let defaults = ReferenceDefaults.of(decoder.configuration).ia3
    let layers = try configuration.targeting.layers(of: decoder, defaults: defaults, method: name)
    let feedForward = try configuration.feedForward(decoder.configuration)
    for layer in layers.sorted(by: { $0.block > $1.block }) {
      let isInputSide = try IA3Configuration.matches(layer.path, feedForward)
      let slot = plan.declare(
        "\(huggingFacePrefix)\(layer.path).ia3_l",
        shape: isInputSide ? [1, layer.inputSize] : [layer.outputSize, 1])
      sites.append(Site(layer: layer, slot: slot, isInputSide: isInputSide))
    }
    isTransposed = layers.last?.weight.layout == .inputMajor
    notes = configuration.targeting.unmatched(in: decoder)
    savedTargets = configuration.targeting.saved(
      layers, of: decoder, defaults: defaults, shortens: false)
    saveSides(feedForward)
    try base.declare(in: &plan, decoder: decoder, adapted: Set(layers.map(\.path)))
  }

  /// Says which names nothing answers to.
  public func prepareRun(totalSteps: Int) throws(PEFTError) -> [String] { notes }

  /// Attaches a hook to every target.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    var hooks = HookSet()
    for site in sites {
      let tensor = TrainedMatrix(site.slot, in: arena)
      hooks.linear[site.layer.path] = site.isInputSide ? IA3Input(tensor) : IA3Output(tensor)
    }
    try hooks.attach(to: decoder, as: name, base: base, arena: arena)
  }

  /// Sets every factor to 1, or draws N(0, 1) with `init_ia3_weights` false.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    for site in sites {
      let values = arena.values(site.slot)
      if configuration.startsAtOne {
        values.fill(1)
      } else {
        CounterRandom(seed: seed, purpose: site.slot.name)
          .fillNormal(values, standardDeviation: 1)
      }
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
    return AdapterExport(
      configuration: configuration.json(
        baseName: baseName, targets: savedTargets, feedForward: savedFeedForward,
        isTransposed: isTransposed),
      tensors: storedTensors(of: arena))
  }

  /// (IA)³ folds into the base.
  public var mergeRefusal: String? { nil }

  /// Scales rows of W and the bias for an output side, columns of W for an input side.
  ///
  /// Rows and columns change places where the base is stored transposed.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool {
    guard let arena else { return false }
    let isReplaced = base.merge(into: values, of: name, arena: arena)
    let compute = Compute(threads: 1)
    for site in sites {
      let factors = arena.values(site.slot)
      let count = factors.count
      if name == site.layer.path + ".weight" {
        let isOutputMajor = site.layer.weight.layout == .outputMajor
        if site.isInputSide == isOutputMajor {
          Elementwise.scaleColumns(
            values, by: factors.reshaped(rows: 1, columns: count), into: values, on: compute)
        } else {
          Elementwise.scaleRows(
            values, by: factors.reshaped(rows: count, columns: 1), into: values, on: compute)
        }
        return true
      }
      if name == site.layer.path + ".bias", !site.isInputSide {
        let row = values.reshaped(rows: 1, columns: count)
        Elementwise.scaleColumns(
          row, by: factors.reshaped(rows: 1, columns: count), into: row, on: compute)
        return true
      }
    }
    return isReplaced
  }

  /// Sets `feedforward_modules` for the file.
  ///
  /// PEFT insists that each entry of a list is one of `target_modules`: the targets that select
  /// input sides alone are written, and where these are not all, full paths in both fields.
  private func saveSides(_ selector: ModuleTargeting.Selector) {
    guard case .list(let names) = selector else {
      if case .expression(let expression) = selector { savedFeedForward = .string(expression) }
      return
    }
    guard let targets = savedTargets.array?.compactMap(\.string) else {
      savedFeedForward = .array(names.sorted().map(JSONValue.string))
      return
    }
    func texts(_ names: [String]) -> JSONValue { .array(names.sorted().map(JSONValue.string)) }
    let inputSides = sites.filter(\.isInputSide).map(\.layer.path)
    let outputSides = sites.filter { !$0.isInputSide }.map(\.layer.path)
    let pure = targets.filter { target in
      inputSides.contains { $0 == target || $0.hasSuffix("." + target) }
        && !outputSides.contains { $0.hasSuffix(target) }
    }
    if inputSides.allSatisfy({ path in pure.contains { path.hasSuffix($0) } }) {
      savedFeedForward = texts(pure)
    } else {
      savedTargets = texts(inputSides + outputSides)
      savedFeedForward = texts(inputSides)
    }
  }
}
