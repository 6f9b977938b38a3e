import Kernels
import Tensors

/// What a pass over a micro-batch says of its scored tokens.
public struct LossSum: Sendable {
  /// Sum of the cross-entropies, in nats.
  public var loss = 0.0
  /// Number of scored tokens.
  public var targetCount = 0
  /// How many of them the model would have chosen.
  public var correctCount = 0

  /// Nothing scored.
  public init() {}

  /// Adds another pass.
  public static func += (sum: inout LossSum, other: LossSum) {
    sum.loss += other.loss
    sum.targetCount += other.targetCount
    sum.correctCount += other.correctCount
  }
}

/// What a decoder's memory is planned for.
public enum DecoderMode: Sendable, Hashable {
  /// Forward and backward; activations are kept, or only each block's input.
  case training(recomputesActivations: Bool)
  /// Forward alone: all blocks share their memory.
  case inference

  var isTraining: Bool { self != .inference }
}

/// A decoder-only transformer with explicit forward and backward, and places for hooks.
///
/// ```swift
/// let decoder = try Decoder(directory: "SmolLM-135M", arithmetic: .float32)
/// try decoder.attach(hooks)
/// try decoder.prepare(
///   for: .training(recomputesActivations: false), maximumTokens: 256, maximumSequences: 1)
/// let sum = decoder.forwardBackward(Pass(batch: batch, compute: compute, isTraining: true))
/// ```
///
/// The base stays where its files are mapped and is never written. The decoder knows sites and
/// hooks, not methods; ranks are none of its business.
public final class Decoder {
  /// What `config.json` says.
  public let configuration: DecoderConfiguration
  /// What whoever uses the model should be told, a sentence each.
  public let warnings: [String]
  /// Where the model was read from: a directory, or a GGUF file.
  public let directory: String
  /// Where its tensors come from.
  package var source: any WeightSource { parts.source }
  /// Arithmetic of products with frozen weights and of attention.
  public let arithmetic: Arithmetic
  /// The stored tensors, for whoever reads all of them.
  public let contents: BaseContents
  /// What all their bytes come to; read on one thread where nobody has, see `adopt(_:)`.
  public private(set) lazy var digest = contents.digest(
    hashes: (0..<contents.blockCount).map { contents.scan($0).hash })
  /// The base's fingerprint in checkpoints; a base that is kept in fewer bits is another one.
  public var fingerprint: String {
    digest.text + (quantization.map { " \($0.rawValue)" } ?? "")
  }
  /// How the projections are kept where that is in fewer bits than they are stored in.
  public internal(set) var quantization: BaseQuantization?

  /// Blocks of ``contents`` that this process has read whole, with what it found.
  private(set) var ownBlocks: [(index: Int, hash: UInt64)] = []
  /// What the processes of a node made of stored weights and share.
  var copies: [(bytes: SharedBytes, what: String)] = []
  private(set) var parts: DecoderParts
  private(set) var embeddingHook: (any EmbeddingHook)?
  private(set) var tableHook: (any TableHook)?
  /// Whether hooks part a table and a head that are one tensor.
  private var isHeadParted = false

  /// The lowest block that backward must reach; `blockCount` if it reaches none.
  private(set) var lowestTrainedBlock = 0
  /// Whether backward goes on below the blocks.
  private(set) var embeddingTrains = false
  var memory: DecoderMemory?
  /// Whether memory is only planned: nothing large is allocated or read, and no pass computed.
  ///
  /// Set before anything is quantised, rounded, attached or prepared.
  public var isPlanned = false
  /// Called before memory for passes is allocated, with what was reserved and the bytes of it that are
  /// there already; it throws where there cannot be so much.
  public var checkRoom: ((_ plan: WorkspacePlan, _ held: Int) throws(ModelError) -> Void)?
  private var owners: [AnyObject] = []

  init(
    configuration: DecoderConfiguration, warnings: [String], directory: String,
    arithmetic: Arithmetic, contents: BaseContents, parts: DecoderParts
  ) {
    self.configuration = configuration
    self.warnings = warnings
    self.directory = directory
    self.arithmetic = arithmetic
    self.contents = contents
    self.parts = parts
  }

  /// Every tensor of the base, in the order of the architecture.
  public var parameters: [Parameter] { parts.parameters }
  /// Number of weights in the base; a tied head counts once.
  public var parameterCount: Int {
    parts.parameters.reduce(0) { $0 + $1.shape.reduce(1, *) }
  }
  /// Every projection of the blocks, block after block.
  public var linearLayers: [LinearLayer] { parts.blocks.flatMap(\.linearLayers) }
  /// Those, and the projections inside experts, which no name of a module reaches.
  public var products: [LinearLayer] { parts.blocks.flatMap(\.products) }
  /// Tensors that transformers has in one piece, or in a module that is no projection: the experts'
  /// of each block and what chooses among them.
  public var stackedParameters: [StackedParameter] { parts.blocks.flatMap(\.stacked) }
  /// How many tokens of the last pass each expert took, block by block; empty where there are none.
  public var expertLoads: [[Int]] { parts.blocks.map(\.expertLoads) }
  /// The head, hidden features to logits; its weight is the token table's where they are tied.
  public var head: LinearLayer { parts.head }
  /// The module path of the token table.
  public var tablePath: String { configuration.names.embedding }
  /// The token table, [vocabulary, hidden].
  public var table: Parameter { parts.embedding }
  /// Rows in front of every sequence that stand for no token.
  public var virtualTokenCount: Int { embeddingHook?.virtualTokenCount ?? 0 }
  /// Positions that a joint prefix takes.
  public var positionOffset: Int {
    parts.blocks.lazy.compactMap { $0.core.hook }.first { $0.mode == .joint }?.prefixLength ?? 0
  }

  /// Attaches a method's hooks: once, and before `prepare`.
  ///
  /// - Throws: `ModelError.unknownSite` where the model has no such place.
  public func attach(_ hooks: HookSet) throws(ModelError) {
    let layers = Dictionary(
      uniqueKeysWithValues: (products + [head]).map { ($0.path, $0) })
    for (path, hook) in hooks.linear {
      guard let layer = layers[path] else {
        throw .unknownSite(name: path, known: parts.blocks[0].linearLayers.map(\.path))
      }
      precondition(layer.hook == nil, "\(path) has a hook already")
      layer.attach(hook)
    }
    for (site, hook) in hooks.sublayer {
      try checkBlock(site.block)
      parts.blocks[site.block].sublayerSites.attach(hook, to: site.sublayer)
    }
    for (block, hook) in hooks.attention {
      try checkBlock(block)
      parts.blocks[block].core.attach(hook)
    }
    if let hook = hooks.embedding { embeddingHook = hook }
    if let hook = hooks.table {
      precondition(!table.isTrainable, "a table with a hook does not train itself")
      tableHook = hook
    }
    let isEitherHooked = hooks.table != nil || hooks.linear[head.path] != nil
    if isEitherHooked && !hooks.changesHeadAsTable { isHeadParted = true }
  }

  /// Takes the digest that threads and ranks made of ``contents`` together.
  ///
  /// - Parameter digest: of all blocks.
  /// - Parameter own: the blocks that this process has read, with their hashes.
  public func adopt(_ digest: BaseDigest, own: [(index: Int, hash: UInt64)]) {
    self.digest = digest
    ownBlocks = own
  }

  /// Keeps an object alive as long as the decoder: hooks and trained parameters hold views of
  /// memory that somebody must own.
  public func retain(_ owner: AnyObject) { owners.append(owner) }

  /// Makes a tensor of the base trainable: its values move to `values`, passes add its gradient to
  /// `gradient`.
  ///
  /// - Parameters:
  ///   - name: the tensor's name in the base.
  ///   - values: as many numbers as the tensor has, overwritten with them.
  ///   - gradient: of the same shape as values.
  ///   - tied: whether a tied embedding table takes the head along; without, the head stays what it
  ///     was.
  /// - Throws: `ModelError.unknownSite` where the base has no tensor of that name,
  ///   `quantizedParameter` where it is stored in few bits.
  public func makeTrainable(
    parameter name: String, values: MatrixView, gradient: MatrixView, tied: Bool = true
  ) throws(ModelError) {
    guard let parameter = trainableBaseParameters.first(where: { $0.name == name }) else {
      throw .unknownSite(name: name, known: parts.parameters.prefix(8).map(\.name))
    }
    guard !parameter.storedFormat.isQuantized else {
      throw .quantizedParameter(name: name, format: parameter.storedFormat.name)
    }
    if parameter.name == Self.tiedHeadName { head.weight = parameter }
    if !tied && parameter === table && head.weight === table { head.weight = separateHead }
    parameter.makeTrainable(values: values, gradient: gradient)
  }

  /// Puts other values in the place of a matrix of the base, frozen.
  ///
  /// A tied head goes along with the table; a head that is replaced itself leaves the table alone.
  /// - Throws: `ModelError.unknownSite` where the base has no tensor of that name.
  public func replace(parameter name: String, values: MatrixView) throws(ModelError) {
    guard let parameter = trainableBaseParameters.first(where: { $0.name == name }) else {
      throw .unknownSite(name: name, known: parts.parameters.prefix(8).map(\.name))
    }
    if parameter.name == Self.tiedHeadName { head.weight = parameter }
    parameter.replace(values)
  }

  /// Everything that can train.
  ///
  /// That is the base's tensors and, where it is tied, a head of its own that
  /// starts as the embedding table. Training that head leaves the embedding alone.
  public var trainableBaseParameters: [Parameter] {
    configuration.tiesEmbeddings ? parts.parameters + [separateHead] : parts.parameters
  }

  /// Whether head and embedding table are one tensor, whatever is attached.
  public var isHeadTied: Bool { head.weight === table && !isHeadParted }

  /// A frozen head of its own where the table lies now.
  private var separateHead: Parameter {
    Parameter(
      name: Self.tiedHeadName, shape: parts.embedding.shape, matrix: parts.embedding.matrix,
      layout: .outputMajor)
  }

  private static let tiedHeadName = BaseWeights.headName

  /// Plans and allocates the memory of a pass; hooks and trained parameters must be attached
  /// before.
  ///
  /// What an earlier call allocated serves again, and is void.
  ///
  /// - Parameters:
  ///   - mode: training, or forward alone.
  ///   - maximumTokens: real tokens of the largest micro-batch.
  ///   - maximumSequences: sequences of the largest micro-batch.
  ///   - maximumLength: tokens of the longest sequence, cached ones included; as many as the largest
  ///     micro-batch has where it is not given.
  ///   - isPlanned: whether only what would be reserved is wanted; a pass needs another call.
  /// - Returns: what was reserved, for the log.
  /// - Throws: `ModelError` where there are fewer positions, or ``checkRoom`` says that there cannot be so
  ///   much memory.
  @discardableResult
  public func prepare(
    for mode: DecoderMode, maximumTokens: Int, maximumSequences: Int, maximumLength: Int? = nil,
    isPlanned: Bool = false
  ) throws(ModelError) -> WorkspacePlan {
    let rows = maximumTokens + maximumSequences * virtualTokenCount
    let positions = (maximumLength ?? maximumTokens) + virtualTokenCount + positionOffset
    if configuration.hasLearnedPositions && maximumLength != nil {
      try checkPositions(tokens: maximumLength ?? maximumTokens)
    }
    findWhatTrains()
    var plan = WorkspacePlan()
    memory = try DecoderMemory(
      &plan, self, mode: mode, rows: rows, targets: maximumTokens, positions: positions,
      renewing: memory?.workspace, isPlanned: isPlanned || self.isPlanned)
    return plan
  }

  /// The largest matrices that a pass rounds to multiply them with weights in bf16; none in f32.
  ///
  /// Its threads make room for them before the first one.
  public func largestOperands(
    maximumTokens: Int, maximumSequences: Int
  ) -> [(rows: Int, columns: Int)] {
    guard arithmetic == .bfloat16 else { return [] }
    let rows = maximumTokens + maximumSequences * virtualTokenCount
    let features = products.map { max($0.inputSize, $0.outputSize) }.max() ?? 0
    return [
      (rows, max(features, configuration.hiddenSize)),
      // Backward multiplies gradients of logits with the head, a few rows at a time.
      (min(rows, HeadLoss.chunkRows), configuration.vocabularySize),
    ]
  }

  /// A batch that fits this decoder's virtual tokens and prefix.
  public func makeBatch(maximumTokens: Int, maximumSequences: Int) -> TokenBatch {
    TokenBatch(
      maximumTokens: maximumTokens, maximumSequences: maximumSequences,
      virtualTokenCount: virtualTokenCount, positionOffset: positionOffset)
  }

  /// Whether the keys cached for a sequence are turned by other angles once it has more rows.
  ///
  /// Whoever continues it then begins anew, as transformers does for LongRoPE. Positions that grow
  /// with each token keep cached keys as they are, there as here.
  public func forgetsKeys(growing rows: Int, to longer: Int) -> Bool {
    configuration.rotary.contains { scheme in
      guard let scheme else { return false }
      return RotaryPositions.changes(
        scheme, from: rows + positionOffset, to: longer + positionOffset)
    }
  }

  /// Checks that sequences of so many tokens fit the model's positions.
  ///
  /// Learned positions end; rotary ones go on, but a model is not trained beyond its maximum.
  public func checkPositions(tokens: Int) throws(ModelError) {
    let needed = tokens + virtualTokenCount + positionOffset
    if needed > configuration.maximumPositions {
      throw .tooManyPositions(
        needed: needed, available: configuration.maximumPositions,
        what: virtualTokenCount + positionOffset > 0
          ? "A sequence of \(tokens) tokens and \(virtualTokenCount + positionOffset) virtual ones"
          : "A sequence of \(tokens) tokens")
    }
  }

  /// Whether anything below the head trains.
  var isHiddenNeeded: Bool {
    lowestTrainedBlock < parts.blocks.count || embeddingTrains || parts.finalNorm.trains
  }

  func findWhatTrains() {
    embeddingTrains =
      embeddingHook != nil || tableHook != nil || table.isTrainable
      || (parts.positions?.isTrainable ?? false)
    lowestTrainedBlock =
      embeddingTrains
      ? 0 : parts.blocks.firstIndex { $0.trains } ?? parts.blocks.count
  }

  private func checkBlock(_ block: Int) throws(ModelError) {
    if block < 0 || block >= parts.blocks.count {
      throw .unknownSite(name: "block \(block)", known: ["blocks 0 to \(parts.blocks.count - 1)"])
    }
  }
}

/// The parts of a decoder, whatever its family.
struct DecoderParts {
  /// Keeps the mapped files, in which frozen weights lie.
  let source: any WeightSource
  /// All tensors.
  let parameters: [Parameter]
  /// Token embeddings, [vocabulary, hidden].
  let embedding: Parameter
  /// Learned positions, [positions, hidden]; GPT-2's.
  let positions: Parameter?
  /// The blocks, lowest first.
  let blocks: [DecoderBlock]
  /// The norm above them.
  let finalNorm: NormLayer
  /// The head, whose weight is the embedding itself where they are tied.
  let head: LinearLayer
}
