import JSON
import Model
import Tensors

/// Bottleneck adapters: arXiv:1902.00751 (Houlsby and others, 2019).
///
/// A small network with a residual of its own stands behind attention and behind the feed-forward
/// network of every block.
///
///     adapter(h) = h + c·dropout(f(h W_dᵀ + b_d) W_uᵀ + b_u)      W_d [M, hidden], W_u [hidden, M]
///     h₁ = x  + adapter(attention(norm(x)))
///     y  = h₁ + adapter(feedForward(norm(h₁)))
///
/// Parameters: `2·L·(2·hidden·M + M + hidden)`, M = ⌊hidden / reduction_factor⌋. The adapter stands
/// before the block's residual, the decoder's form of the paper's post-norm placement, as AdapterHub
/// has it; behind the norm behind a sub-layer, where there is one. The paper also trains the norms; AdapterHub does not, nor does this. It cannot be folded
/// into the base: f is not linear. PEFT has no such method; the files are AdapterHub's.
public final class BottleneckAdapter: PEFTMethod {
  /// `bottleneck`.
  public static let methodName = "bottleneck"
  /// PEFT has none.
  public static let peftType: String? = nil
  /// What a user may set.
  public static let fields: [MethodField] = BottleneckConfiguration.fields
  /// AdapterHub's files have no `peft_type`, but an object `config`.
  public static func recognizes(_ configuration: JSONValue) -> Bool {
    configuration["peft_type"] == nil && configuration["config"]?.object != nil
  }
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .weights(5e-4)
  }
  private let configuration: BottleneckConfiguration
  private var sites: [Site] = []
  private var arena: ParameterArena?
  private var decoder: DecoderConfiguration?

  /// One bottleneck.
  private struct Site {
    let place: SublayerSite
    let downWeight, downBias, upWeight, upBias: ParameterSlot
  }

  /// Reads the method's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try BottleneckConfiguration(options)
  }

  /// Declares the bottlenecks, last block first, by AdapterHub's names.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let base = decoder.configuration
    try configuration.check(base)
    self.decoder = base
    let hidden = base.hiddenSize
    for block in (0..<base.blockCount).reversed() where !configuration.leaveOut.contains(block) {
      let size = configuration.size(block: block, hidden: hidden)
      for (sublayer, folder, isAsked) in [
        (Sublayer.feedForward, "output_adapters", configuration.isBehindFeedForward),
        (Sublayer.attention, "attention_adapters", configuration.isBehindAttention),
      ] where isAsked {
        let key = "\(base.names.blocks).\(block).\(folder).adapters.\(configuration.adapterName)"
        sites.append(
          Site(
            place: SublayerSite(block: block, sublayer: sublayer),
            downWeight: plan.declare("\(key).adapter_down.0.weight", shape: [size, hidden]),
            downBias: plan.declare("\(key).adapter_down.0.bias", shape: [size]),
            upWeight: plan.declare("\(key).adapter_up.weight", shape: [hidden, size]),
            upBias: plan.declare("\(key).adapter_up.bias", shape: [hidden])))
      }
    }
  }

  /// Attaches the bottlenecks.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    var hooks = HookSet()
    for site in sites {
      hooks.sublayer[site.place] = BottleneckLayer(
        BottleneckLayer.Tensors(
          downWeight: TrainedMatrix(site.downWeight, in: arena),
          downBias: TrainedMatrix(site.downBias, in: arena),
          upWeight: TrainedMatrix(site.upWeight, in: arena),
          upBias: TrainedMatrix(site.upBias, in: arena)),
        activation: configuration.activation, scaling: configuration.scaling,
        dropout: configuration.dropout)
    }
    try hooks.attach(to: decoder, as: name, arena: arena)
  }

  /// Draws the weights by `init_weights`; biases are zero.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let arena else { return }
    for site in sites {
      arena.values(site.downBias).fill(0)
      arena.values(site.upBias).fill(0)
      for slot in [site.downWeight, site.upWeight] {
        let (random, values) = (
          CounterRandom(seed: seed, purpose: slot.name), arena.values(slot)
        )
        switch configuration.initialization {
        case .bert: random.fillNormal(values, standardDeviation: 0.02)
        case .houlsby: fillTruncated(values, random)
        case .mam:
          let bound = slot == site.downWeight ? 1 / Double(values.columns).squareRoot() : 0
          random.fillUniform(values, low: -bound, high: bound)
        }
      }
    }
  }

  /// Takes every tensor by its name.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(tensors, into: arena, source: "the adapter")
  }

  /// The adapter in AdapterHub's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena, let decoder else { return nil }
    var notes: [String] = []
    if ReferenceDefaults.of(decoder).adapterHubClass == nil {
      notes = [
        "AdapterHub's adapters 1.3.0 does not know \(decoder.modelType): this program reads "
          + "the adapter, AdapterHub will not."
      ]
    }
    return Self.export(
      storedTensors(of: arena),
      configuration: configuration.json(baseName: baseName, decoder: decoder), notes: notes)
  }

  /// All tensors, in a file of AdapterHub's name.
  public static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String]
  ) -> AdapterExport {
    AdapterExport(
      configuration: configuration, weightFileName: "adapter.safetensors", tensors: tensors,
      notes: notes)
  }

  /// Why there is nothing to fold into.
  public var mergeRefusal: String? {
    "it computes a non-linear function behind each sub-layer, which no weight of the base can stand "
      + "for"
  }

  /// Nothing is merged.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool { false }

  /// N(0, 0.01²), redrawn beyond two deviations.
  private func fillTruncated(_ values: MatrixView, _ random: CounterRandom) {
    for row in 0..<values.rows {
      for column in 0..<values.columns {
        // Each element has 2^20 draws of its own; one in twenty is refused.
        var counter = UInt64(row * values.columns + column) << 20
        var draw = random.normal(counter)
        while abs(draw) > 2 {
          counter += 1
          draw = random.normal(counter)
        }
        values[row, column] = Float(0.01 * draw)
      }
    }
  }
}
