import Kernels
import Tensors

/// Memory that the blocks of a decoder share, dead after each block.
struct BlockScratch {
  let normed: WorkspaceSlot  // [tokens, hidden]
  let dNormed: WorkspaceSlot  // [tokens, hidden]
  let sublayer: WorkspaceSlot  // [tokens, hidden]
  let inner: WorkspaceSlot  // [tokens, intermediate]
  let dInner: WorkspaceSlot  // [tokens, intermediate]
  let dAttention: WorkspaceSlot  // [tokens, N·D]
  let dQuery: WorkspaceSlot  // [tokens, N·D]
  let dKey: WorkspaceSlot  // [tokens, K·D]
  let dValue: WorkspaceSlot  // [tokens, K·D]
  let dFused: WorkspaceSlot  // [tokens, (N + 2·K)·D]

  /// - Parameter isFused: whether queries, keys and values lie side by side.
  init(
    _ plan: inout WorkspacePlan, _ c: DecoderConfiguration, rows: Int, isTraining: Bool,
    isFused: Bool
  ) {
    let hidden = c.hiddenSize
    let backwardRows = isTraining ? rows : 0
    normed = plan.reserve("scratch.normed", rows: rows, columns: hidden)
    inner = plan.reserve("scratch.inner", rows: rows, columns: c.intermediateSize)
    sublayer = plan.reserve("scratch.sublayer", rows: backwardRows, columns: hidden)
    dNormed = plan.reserve("scratch.dNormed", rows: backwardRows, columns: hidden)
    dInner = plan.reserve("scratch.dInner", rows: backwardRows, columns: c.intermediateSize)
    dAttention = plan.reserve("scratch.dAttention", rows: backwardRows, columns: c.querySize)
    let (split, fused) = isFused ? (0, backwardRows) : (backwardRows, 0)
    dQuery = plan.reserve("scratch.dQuery", rows: split, columns: c.querySize)
    dKey = plan.reserve("scratch.dKey", rows: split, columns: c.keyValueSize)
    dValue = plan.reserve("scratch.dValue", rows: split, columns: c.keyValueSize)
    dFused = plan.reserve(
      "scratch.dFused", rows: fused, columns: c.querySize + 2 * c.keyValueSize)
  }
}

/// What every block of a decoder is given before the first pass.
struct BlockMemory {
  let workspace: Workspace
  let scratch: BlockScratch
  /// Rotary positions; nil where they are learned.
  let rotary: RotaryPositions?

  /// A pass's rows of a matrix; empty where none was reserved.
  func view(_ slot: WorkspaceSlot, _ pass: Pass) -> MatrixView {
    slot.rows == 0 ? .empty : workspace.view(slot, rows: pass.rowCount)
  }
}

/// One block of a decoder: attention, then feed-forward, each added to the residual stream.
///
///     h = x + attention(norm(x))
///     y = h + feedForward(norm(h))
///
/// Families choose the norms and the bodies. The residual stream's rows between blocks belong to the
/// decoder; what else forward keeps for backward the parts reserve themselves.
final class DecoderBlock {
  /// Hooks on its halves.
  let sublayerSites: SublayerSites
  private let attentionBody: AttentionBody
  private let attention, feedForward: ResidualHalf
  private var middle: WorkspaceSlot?  // [tokens, hidden] the stream between the halves
  private var workspace: Workspace?

  init(
    attentionNorm: NormLayer, attention: AttentionBody, feedForwardNorm: NormLayer,
    feedForward: any HalfBody
  ) {
    attentionBody = attention
    sublayerSites = SublayerSites(block: attention.core.block)
    self.attention = ResidualHalf(
      .attention, norm: attentionNorm, body: attention, sites: sublayerSites)
    self.feedForward = ResidualHalf(
      .feedForward, norm: feedForwardNorm, body: feedForward, sites: sublayerSites)
  }

  /// The core of its attention.
  var core: AttentionCore { attentionBody.core }
  /// Whether queries, keys and values lie side by side.
  var isFused: Bool { attentionBody.isFused }
  /// Projections, in the order of the computation.
  var linearLayers: [LinearLayer] { attention.linearLayers + feedForward.linearLayers }
  /// Whether anything in this block trains.
  var isTrained: Bool { attention.isTrained || feedForward.isTrained }

  /// Reserves what forward keeps for backward, if there is one.
  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    attention.reserveSaved(&plan, rows: rows, isTraining: isTraining)
    middle = plan.reserve("block.middle", rows: rows, columns: attentionBody.output.outputSize)
    feedForward.reserveSaved(&plan, rows: rows, isTraining: isTraining)
  }

  /// Takes the memory that was reserved.
  func use(_ memory: BlockMemory) {
    workspace = memory.workspace
    attention.use(memory)
    feedForward.use(memory)
  }

  /// Computes `y` from the residual stream `x`, both [tokens, hidden], not the same memory.
  func forward(_ x: MatrixView, into y: MatrixView, _ pass: Pass) {
    let h = middle(pass)
    attention.forward(x, into: h, pass)
    feedForward.forward(h, into: y, pass)
  }

  /// Turns the gradient of `y` in place into that of `x`.
  ///
  /// - Parameter isNeeded: whether anything below trains; if not, `dy` is left unspecified and the
  ///   products for it are not made.
  func backward(_ dy: MatrixView, input x: MatrixView, isNeeded: Bool, _ pass: Pass) {
    let needs = needs(BackwardExtent(isReached: true, isNeeded: isNeeded))
    feedForward.backward(dy, input: middle(pass), needs.feedForward, pass)
    attention.backward(dy, input: x, needs.attention, pass)
  }

  /// Adds this block's multiply-adds.
  func count(into arithmetic: inout DecoderArithmetic, _ extent: BackwardExtent) {
    let needs = needs(extent)
    feedForward.count(into: &arithmetic, needs.feedForward)
    attention.count(into: &arithmetic, needs.attention)
  }

  /// Attention lies below feed-forward, and what trains in it is reached through it.
  private func needs(
    _ extent: BackwardExtent
  ) -> (attention: HalfNeeds, feedForward: HalfNeeds) {
    let isReached = extent.isReached
    let below = BackwardExtent(
      isReached: isReached, isNeeded: isReached && (extent.isNeeded || attention.isTrained))
    return (HalfNeeds(extent, attention), HalfNeeds(below, feedForward))
  }

  private func middle(_ pass: Pass) -> MatrixView {
    guard let middle, let workspace else { preconditionFailure("no workspace was prepared") }
    return workspace.view(middle, rows: pass.rowCount)
  }
}
