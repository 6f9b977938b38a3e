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
  let dQuery: WorkspaceSlot  // [tokens, N·D], or the fused q, k, v
  let dKey: WorkspaceSlot  // [tokens, K·D]
  let dValue: WorkspaceSlot  // [tokens, K·D]

  init(_ plan: inout WorkspacePlan, _ c: DecoderConfiguration, rows: Int, isTraining: Bool) {
    let hidden = c.hiddenSize
    let backwardRows = isTraining ? rows : 0
    normed = plan.reserve("scratch.normed", rows: rows, columns: hidden)
    sublayer = plan.reserve("scratch.sublayer", rows: rows, columns: hidden)
    inner = plan.reserve("scratch.inner", rows: rows, columns: c.intermediateSize)
    dNormed = plan.reserve("scratch.dNormed", rows: backwardRows, columns: hidden)
    dInner = plan.reserve("scratch.dInner", rows: backwardRows, columns: c.intermediateSize)
    dAttention = plan.reserve("scratch.dAttention", rows: backwardRows, columns: c.querySize)
    let fused = c.family == .gpt2 ? c.querySize + 2 * c.keyValueSize : c.querySize
    dQuery = plan.reserve("scratch.dQuery", rows: backwardRows, columns: fused)
    let split = c.family == .gpt2 ? 0 : backwardRows
    dKey = plan.reserve("scratch.dKey", rows: split, columns: c.keyValueSize)
    dValue = plan.reserve("scratch.dValue", rows: split, columns: c.keyValueSize)
  }
}

/// What every block of a decoder is given before the first pass.
struct BlockMemory {
  let workspace: Workspace
  let scratch: BlockScratch
  /// Rotary positions; nil where they are learned.
  let rotary: RotaryPositions?
}

/// One block of a decoder: attention and feed-forward, each added to the residual stream.
///
/// The residual stream's rows belong to the decoder; what else a block keeps from forward to backward
/// it reserves itself.
protocol DecoderBlock: KeyValueProjecting {
  /// Projections by their paths.
  var linearLayers: [LinearLayer] { get }
  /// Norms by their paths.
  var norms: [NormLayer] { get }
  /// The core of its attention.
  var core: AttentionCore { get }
  /// Hooks on its halves.
  var sublayerSites: SublayerSites { get }

  /// Reserves what forward keeps for backward, if there is one.
  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool)
  /// Takes the memory that was reserved.
  func use(_ memory: BlockMemory)
  /// Computes `y` from the residual stream `x`, both [tokens, hidden], not the same memory.
  func forward(_ x: MatrixView, into y: MatrixView, _ pass: Pass)
  /// Turns the gradient of `y` in place into that of `x`.
  ///
  /// - Parameter isNeeded: whether anything below trains; if not, `dy` is left unspecified and the
  ///   products for it are not made.
  func backward(_ dy: MatrixView, input x: MatrixView, isNeeded: Bool, _ pass: Pass)
  /// Adds this block's multiply-adds.
  func count(into arithmetic: inout DecoderArithmetic, _ extent: BackwardExtent)
}

extension DecoderBlock {
  /// Whether anything in this block trains.
  var isTrained: Bool {
    linearLayers.contains { $0.isTrained } || norms.contains { $0.isTrained } || core.hook != nil
      || !sublayerSites.isEmpty
  }
}

/// The two sublayer hooks of a block and their memory.
final class SublayerSites {
  private let block: Int
  private var attention: (any SublayerHook)?
  private var feedForward: (any SublayerHook)?
  private var attentionSlot: WorkspaceSlot?
  private var feedForwardSlot: WorkspaceSlot?
  private var scratch: HookScratch?

  init(block: Int) { self.block = block }

  var isEmpty: Bool { attention == nil && feedForward == nil }

  func attach(_ hook: any SublayerHook, to sublayer: Sublayer) {
    switch sublayer {
    case .attention: attention = hook
    case .feedForward: feedForward = hook
    }
  }

  func has(_ sublayer: Sublayer) -> Bool { hook(sublayer) != nil }

  var scratchColumns: Int {
    max(attention?.scratchColumns ?? 0, feedForward?.scratchColumns ?? 0)
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int) {
    if let attention {
      attentionSlot = plan.reserve("hook.saved", rows: rows, columns: attention.savedColumns)
    }
    if let feedForward {
      feedForwardSlot = plan.reserve("hook.saved", rows: rows, columns: feedForward.savedColumns)
    }
  }

  func use(_ scratch: HookScratch) { self.scratch = scratch }

  func forward(_ sublayer: Sublayer, _ h: MatrixView, _ pass: Pass) {
    guard let hook = hook(sublayer) else { return }
    pass.compute.part(.adapter) { hook.forward(h, sublayerPass(sublayer, hook, pass)) }
  }

  func backward(_ sublayer: Sublayer, _ dh: MatrixView, _ pass: Pass) {
    guard let hook = hook(sublayer) else { return }
    pass.compute.part(.adapter) { hook.backward(dh, sublayerPass(sublayer, hook, pass)) }
  }

  func hook(_ sublayer: Sublayer) -> (any SublayerHook)? {
    sublayer == .attention ? attention : feedForward
  }

  private func sublayerPass(_ sublayer: Sublayer, _ hook: any SublayerHook, _ pass: Pass)
    -> SublayerPass
  {
    guard let scratch, let slot = sublayer == .attention ? attentionSlot : feedForwardSlot else {
      preconditionFailure("block \(block): no workspace was prepared")
    }
    // Linear sites number from 0, sublayer sites from 2^32: their random streams never meet.
    let site = UInt64(1) << 32 | UInt64(2 * block + (sublayer == .attention ? 0 : 1))
    return SublayerPass(
      saved: scratch.workspace.view(slot, rows: pass.rowCount),
      scratch: scratch.view(rows: pass.rowCount, columns: hook.scratchColumns),
      random: pass.random.substream(site), pass: pass)
  }
}
