import Kernels
import Tensors

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
