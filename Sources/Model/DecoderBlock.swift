import Kernels
import Tensors

/// Memory that the blocks of a decoder share, dead after each block.
struct BlockScratch {
  let normed: WorkspaceSlot  // [tokens, hidden]
  let dNormed: WorkspaceSlot  // [tokens, hidden]
  let sublayer: WorkspaceSlot  // [tokens, hidden]
  let parallel: WorkspaceSlot  // [tokens, hidden]
  let inner: WorkspaceSlot  // [tokens, intermediate]
  let dInner: WorkspaceSlot  // [tokens, intermediate]
  let gateAndUp: WorkspaceSlot  // [tokens, 2 · intermediate]
  let expertInput: WorkspaceSlot  // [tokens, hidden] the rows of one expert
  let expertOutput: WorkspaceSlot  // [tokens, hidden]
  let dAttention: WorkspaceSlot  // [tokens, N·D]
  let dQuery: WorkspaceSlot  // [tokens, N·D]
  let dKey: WorkspaceSlot  // [tokens, K·D]
  let dValue: WorkspaceSlot  // [tokens, K·D]
  let dFused: WorkspaceSlot  // [tokens, (N + 2·K)·D]
  let interleaved: WorkspaceSlot  // [tokens, (N + 2·K)·D]

  init(
    _ plan: inout WorkspacePlan, _ c: DecoderConfiguration, _ blocks: [DecoderBlock], rows: Int,
    isTraining: Bool
  ) {
    let (hidden, experts) = (c.hiddenSize, c.experts)
    let intermediate = max(c.intermediateSize, experts?.intermediateSize ?? 0)
    let backwardRows = isTraining ? rows : 0
    normed = plan.reserveOperand("scratch.normed", rows: rows, columns: hidden)
    inner = plan.reserveOperand("scratch.inner", rows: rows, columns: intermediate)
    sublayer = plan.reserveOperand("scratch.sublayer", rows: backwardRows, columns: hidden)
    dNormed = plan.reserveOperand("scratch.dNormed", rows: backwardRows, columns: hidden)
    parallel = plan.reserveOperand(
      "scratch.parallel", rows: c.isParallel ? backwardRows : 0, columns: hidden)
    dInner = plan.reserveOperand("scratch.dInner", rows: backwardRows, columns: intermediate)
    gateAndUp = plan.reserveOperand(
      "scratch.gateAndUp", rows: blocks.contains { $0.isGateAndUpRounded } ? backwardRows : 0,
      columns: 2 * intermediate)
    let expertRows = experts == nil ? 0 : rows
    expertInput = plan.reserveOperand("scratch.expertInput", rows: expertRows, columns: hidden)
    expertOutput = plan.reserveOperand("scratch.expertOutput", rows: expertRows, columns: hidden)
    dAttention = plan.reserveOperand("scratch.dAttention", rows: backwardRows, columns: c.querySize)
    let isFused = blocks.contains { $0.isFused }
    let (split, fused) = isFused ? (0, backwardRows) : (backwardRows, 0)
    let headsAreRows = blocks.contains { $0.hasHeadNorms }
    func gradient(_ name: String, _ columns: Int, _ plan: inout WorkspacePlan) -> WorkspaceSlot {
      plan.reserveOperand(
        "scratch." + name, rows: split, columns: columns, headsAreRows: headsAreRows)
    }
    dQuery = gradient("dQuery", c.querySize, &plan)
    dKey = gradient("dKey", c.keyValueSize, &plan)
    dValue = gradient("dValue", c.keyValueSize, &plan)
    let all = c.querySize + 2 * c.keyValueSize
    dFused = plan.reserveOperand("scratch.dFused", rows: fused, columns: all)
    interleaved = plan.reserveOperand(
      "scratch.interleaved", rows: blocks.contains { $0.isInterleaved } ? rows : 0, columns: all)
  }
}

/// What every block of a decoder is given before the first pass.
struct BlockMemory {
  let workspace: Workspace
  let scratch: BlockScratch
  /// The block's rotary positions; nil where it has none.
  let rotary: RotaryPositions?

  /// A pass's rows of a matrix; empty where none was reserved.
  func view(_ slot: WorkspaceSlot, _ pass: Pass) -> MatrixView {
    slot.rows == 0 ? .empty : workspace.view(slot, rows: pass.rowCount)
  }
}

/// One block of a decoder: attention, then feed-forward, each added to the residual stream.
///
///     h = x + attention(norm(x))
///     y = h + feedForward(norm(h)), or in parallel h + feedForward(norm(x))
///
/// Families choose the norms and the bodies. The residual stream's rows between blocks belong to the
/// decoder; what else forward keeps for backward the parts reserve themselves.
final class DecoderBlock {
  /// Hooks on its halves.
  let sublayerSites: SublayerSites
  private let attentionBody: AttentionBody
  private let feedForwardBody: any HalfBody
  private let attention, feedForward: ResidualHalf
  private let isParallel: Bool
  private var middle: WorkspaceSlot?  // [tokens, hidden] the stream between the halves
  private var memory: BlockMemory?

  /// A block whose halves have these norms around them.
  init(
    attention: AttentionBody, norms attentionNorms: HalfNorms, feedForward: any HalfBody,
    norms feedForwardNorms: HalfNorms, _ c: DecoderConfiguration
  ) {
    attentionBody = attention
    feedForwardBody = feedForward
    isParallel = c.isParallel
    sublayerSites = SublayerSites(block: attention.core.block)
    let scale = Float(c.residualScale)
    self.attention = ResidualHalf(
      .attention, norms: attentionNorms, body: attention, scale: scale, sites: sublayerSites)
    self.feedForward = ResidualHalf(
      .feedForward, norms: feedForwardNorms, body: feedForward, scale: scale,
      sites: sublayerSites)
  }

  /// A block with a norm in front of each half.
  convenience init(
    attention: AttentionBody, norm attentionNorm: NormLayer, feedForward: any HalfBody,
    norm feedForwardNorm: NormLayer, _ c: DecoderConfiguration
  ) {
    self.init(
      attention: attention, norms: HalfNorms(before: attentionNorm), feedForward: feedForward,
      norms: HalfNorms(before: feedForwardNorm), c)
  }

  /// The core of its attention.
  var core: AttentionCore { attentionBody.core }
  /// Whether queries, keys and values lie side by side.
  var isFused: Bool { attentionBody.isFused }
  /// Whether queries and keys are normed.
  var hasHeadNorms: Bool { !attentionBody.innerNorms.isEmpty }
  /// Whether their projection gives them head by head.
  var isInterleaved: Bool { attentionBody.isInterleaved }
  /// Whether one projection makes gate and up, which are kept rounded.
  var isGateAndUpRounded: Bool {
    (feedForwardBody as? GatedFeedForward)?.isFusedAndRounded ?? false
  }
  /// Projections, in the order of the computation.
  var linearLayers: [LinearLayer] { attention.linearLayers + feedForward.linearLayers }
  /// Those, and what is no module in transformers.
  var products: [LinearLayer] { linearLayers + feedForwardBody.inside }
  /// How many tokens of the last pass each expert took; empty where there are none.
  var expertLoads: [Int] { (feedForwardBody as? ExpertFeedForward)?.loads ?? [] }
  /// Tensors that transformers has in one piece.
  var stacked: [StackedParameter] { feedForwardBody.stacked }
  /// Whether anything in this block trains.
  var trains: Bool { attention.trains || feedForward.trains }

  /// Reserves what forward keeps for backward, if there is one.
  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    attention.reserveSaved(&plan, rows: rows, isTraining: isTraining)
    middle = plan.reserveOperand(
      "block.middle", rows: rows, columns: attentionBody.output.outputSize)
    feedForward.reserveSaved(&plan, rows: rows, isTraining: isTraining)
  }

  /// Takes the memory that was reserved.
  func use(_ memory: BlockMemory) {
    self.memory = memory
    attention.use(memory)
    feedForward.use(memory)
  }

  /// Computes `y` from the residual stream `x`, both [tokens, hidden], not the same memory.
  func forward(_ x: MatrixView, into y: MatrixView, _ pass: Pass) {
    let h = middle(pass)
    attention.forward(x, onto: x, into: h, pass)
    feedForward.forward(isParallel ? x : h, onto: h, into: y, pass)
  }

  /// Turns the gradient of `y` in place into that of `x`.
  ///
  /// - Parameter isNeeded: whether anything below trains; if not, `dy` is left unspecified and the
  ///   products for it are not made.
  func backward(_ dy: MatrixView, input x: MatrixView, isNeeded: Bool, _ pass: Pass) {
    let needs = needs(BackwardExtent(isReached: true, isNeeded: isNeeded))
    guard isParallel else {
      feedForward.backward(dy, input: middle(pass), addingTo: dy, needs.feedForward, pass)
      attention.backward(dy, input: x, addingTo: dy, needs.attention, pass)
      return
    }
    // Both halves start from the gradient as it came.
    guard let memory else { preconditionFailure("no workspace was prepared") }
    let given = memory.view(memory.scratch.parallel, pass)
    given.copy(from: dy)
    feedForward.backward(given, input: x, addingTo: dy, needs.feedForward, pass)
    attention.backward(given, input: x, addingTo: dy, needs.attention, pass)
  }

  /// Adds this block's multiply-adds.
  func count(into arithmetic: inout DecoderArithmetic, _ extent: BackwardExtent) {
    let needs = needs(extent)
    feedForward.count(into: &arithmetic, needs.feedForward)
    attention.count(into: &arithmetic, needs.attention)
  }

  /// Attention lies below feed-forward, and what trains in it is reached through it, but in parallel.
  private func needs(
    _ extent: BackwardExtent
  ) -> (attention: HalfNeeds, feedForward: HalfNeeds) {
    if isParallel { return (HalfNeeds(extent, attention), HalfNeeds(extent, feedForward)) }
    let isReached = extent.isReached
    let below = BackwardExtent(
      isReached: isReached, isNeeded: isReached && (extent.isNeeded || attention.trains))
    return (HalfNeeds(extent, attention), HalfNeeds(below, feedForward))
  }

  private func middle(_ pass: Pass) -> MatrixView {
    guard let middle, let memory else { preconditionFailure("no workspace was prepared") }
    return memory.workspace.view(middle, rows: pass.rowCount)
  }
}
