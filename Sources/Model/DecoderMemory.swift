import Kernels
import Tensors

/// A decoder's workspace: what it needs itself, with the blocks' parts handed to them.
struct DecoderMemory {
  let mode: DecoderMode
  let workspace: Workspace
  /// Rotary positions, one for all blocks that have the same.
  let rotary: [RotaryPositions]
  /// What hooks of blocks and of the token table work in.
  let hookScratch: HookScratch
  private let streams: [WorkspaceSlot]  // [tokens, hidden] input of each block, and the last output
  private let gradient: WorkspaceSlot  // [tokens, hidden]
  private let scored: WorkspaceSlot  // [targets, hidden]
  private let scoredNormed: WorkspaceSlot  // [targets, hidden]
  private let dScored: WorkspaceSlot  // [targets, hidden]
  private let scoredStatistics: WorkspaceSlot  // [targets, 2]
  private let headScratch: WorkspaceSlot

  init(
    _ plan: inout WorkspacePlan, _ decoder: Decoder, mode: DecoderMode, rows: Int, targets: Int,
    positions: Int, renewing former: Workspace?, isPlanned: Bool
  ) throws(ModelError) {
    self.mode = mode
    let c = decoder.configuration
    let blocks = decoder.parts.blocks
    let backwardRows = mode.isTraining ? rows : 0
    // Blocks below the lowest trained one are never entered by backward: they keep nothing.
    let firstKept = mode.isTraining ? min(decoder.lowestTrainedBlock, blocks.count) : blocks.count
    var streams: [WorkspaceSlot] = []
    for block in 0...blocks.count {
      if block < firstKept && block >= 2 {
        streams.append(streams[block - 2])
      } else {
        streams.append(plan.reserveOperand("stream", rows: rows, columns: c.hiddenSize))
      }
    }
    self.streams = streams
    gradient = plan.reserveOperand("stream.gradient", rows: backwardRows, columns: c.hiddenSize)
    scored = plan.reserveOperand("scored", rows: targets, columns: c.hiddenSize)
    scoredNormed = plan.reserveOperand("scored.normed", rows: targets, columns: c.hiddenSize)
    dScored = plan.reserveOperand(
      "scored.gradient", rows: mode.isTraining ? targets : 0, columns: c.hiddenSize)
    scoredStatistics = plan.reserve(
      "scored.statistics", rows: max(targets, 1), columns: NormLayer.statisticsColumns)
    headScratch = plan.reserve(
      "head.scratch", rows: 1, columns: HeadLoss.scratchCount(vocabularySize: c.vocabularySize))

    let blockScratch = BlockScratch(
      &plan, c, blocks, rows: rows, isTraining: mode.isTraining)
    let hookColumns =
      blocks.map { block in
        max(
          block.products.map(\.scratchColumns).max() ?? 0, block.sublayerSites.scratchColumns)
      }.max() ?? 0
    let hookSlot = plan.reserve(
      "hook.scratch", rows: rows,
      columns: max(hookColumns, decoder.tableHook?.scratchColumns ?? 0))
    // The head is called for so many rows at a time.
    let headRows = min(targets, HeadLoss.chunkRows)
    decoder.head.reserveSaved(&plan, rows: headRows)
    let headSlot = plan.reserve(
      "head.hook.scratch", rows: headRows, columns: decoder.head.scratchColumns)

    for block in blocks { block.core.reserve(&plan) }
    let shares = mode != .training(recomputesActivations: false)
    let sharing = shares ? blocks.count : firstKept
    plan.overlay(alternatives: sharing) { plan, index in
      Self.reserve(blocks[index], &plan, rows: rows, mode)
    }
    for block in blocks.dropFirst(sharing) { Self.reserve(block, &plan, rows: rows, mode) }

    if isPlanned {
      workspace = Workspace(plan, isPlanned: true)
    } else {
      let former = former.flatMap { $0.isPlanned ? nil : $0 }
      try decoder.checkRoom?(plan, former?.byteCount ?? 0)
      former?.renew(plan)
      workspace = former ?? Workspace(plan)
    }
    hookScratch = HookScratch(workspace: workspace, slot: hookSlot)
    decoder.head.use(HookScratch(workspace: workspace, slot: headSlot))
    var tables: [RotaryScheme: RotaryPositions] = [:]
    for case let scheme? in c.rotary where tables[scheme] == nil {
      tables[scheme] = RotaryPositions(scheme, positions: positions, rows: rows)
    }
    rotary = Array(tables.values)
    for (block, scheme) in zip(blocks, c.rotary) {
      block.core.use(workspace)
      block.use(
        BlockMemory(
          workspace: workspace, scratch: blockScratch, rotary: scheme.flatMap { tables[$0] }))
      block.sublayerSites.use(hookScratch)
      for layer in block.products { layer.use(hookScratch) }
    }
  }

  private static func reserve(
    _ block: DecoderBlock, _ plan: inout WorkspacePlan, rows: Int, _ mode: DecoderMode
  ) {
    block.reserveSaved(&plan, rows: rows, isTraining: mode.isTraining)
    block.sublayerSites.reserveSaved(&plan, rows: rows)
    for layer in block.linearLayers { layer.reserveSaved(&plan, rows: rows) }
  }

  /// Input of block `index`, or the last block's output.
  func stream(_ index: Int, rows: Int) -> MatrixView {
    workspace.view(streams[index], rows: rows)
  }
  func gradient(rows: Int) -> MatrixView { workspace.view(gradient, rows: rows) }
  func scored(rows: Int) -> MatrixView { workspace.view(scored, rows: rows) }
  func scoredNormed(rows: Int) -> MatrixView { workspace.view(scoredNormed, rows: rows) }
  func dScored(rows: Int) -> MatrixView { workspace.view(dScored, rows: rows) }
  func scoredStatistics(rows: Int) -> MatrixView { workspace.view(scoredStatistics, rows: rows) }
  var head: MatrixView { workspace.view(headScratch) }
}
