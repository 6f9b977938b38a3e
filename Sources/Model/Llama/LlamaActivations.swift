import Kernels
import Tensors

/// What a Llama block keeps from forward to backward, besides its input.
struct LlamaActivations {
  let inputStatistics: MatrixView  // [tokens, 2]
  let rawQuery: MatrixView  // [tokens, N·D] before q_norm; empty without one
  let rawKey: MatrixView  // [tokens, K·D] before k_norm; empty without one
  let queryStatistics: MatrixView  // [tokens·N, 2]
  let keyStatistics: MatrixView  // [tokens·K, 2]
  let query: MatrixView  // [tokens, N·D] rotated
  let key: MatrixView  // [tokens, K·D] rotated
  let value: MatrixView  // [tokens, K·D]
  let logSumExp: MatrixView  // [tokens, N]
  let attention: MatrixView  // [tokens, N·D]
  let combined: MatrixView  // [tokens, N·D] attention plus the gated part; attention without one
  let middle: MatrixView  // [tokens, hidden] residual stream between the halves
  let postStatistics: MatrixView  // [tokens, 2]
  let gate: MatrixView  // [tokens, intermediate]; in scratch where `kept` has it
  let up: MatrixView  // [tokens, intermediate]; in scratch where `kept` has it
  let kept: SwiGLU.Kept?  // gate and up rounded; nil where they are kept as they are
}

/// Where a block's activations lie in the workspace.
struct LlamaActivationSlots {
  private let inputStatistics, query, key, value, logSumExp, attention: WorkspaceSlot
  private let middle, postStatistics, gate, up: WorkspaceSlot
  private let isRounded: Bool
  private let intermediateSize: Int
  private let rawQuery, rawKey, queryStatistics, keyStatistics: WorkspaceSlot?
  private let combined: WorkspaceSlot?
  private let shape: (heads: Int, keyValueHeads: Int)

  /// - Parameter isRounded: whether gate and up are kept in bf16.
  init(
    _ plan: inout WorkspacePlan, _ c: DecoderConfiguration, rows: Int, isGated: Bool,
    isRounded: Bool
  ) {
    shape = (c.headCount, c.keyValueHeadCount)
    self.isRounded = isRounded
    intermediateSize = c.intermediateSize
    let innerColumns =
      isRounded ? RoundedView.floatColumns(c.intermediateSize) : c.intermediateSize
    func reserve(_ name: String, _ columns: Int, _ plan: inout WorkspacePlan) -> WorkspaceSlot {
      plan.reserve("block." + name, rows: rows, columns: columns)
    }
    inputStatistics = reserve("statistics", NormLayer.statisticsColumns, &plan)
    query = reserve("query", c.querySize, &plan)
    key = reserve("key", c.keyValueSize, &plan)
    value = reserve("value", c.keyValueSize, &plan)
    logSumExp = reserve("logSumExp", c.headCount, &plan)
    attention = reserve("attention", c.querySize, &plan)
    middle = reserve("middle", c.hiddenSize, &plan)
    postStatistics = reserve("statistics", NormLayer.statisticsColumns, &plan)
    gate = reserve("gate", innerColumns, &plan)
    up = reserve("up", innerColumns, &plan)
    combined = isGated ? reserve("combined", c.querySize, &plan) : nil
    if c.queryKeyNorm {
      rawQuery = reserve("rawQuery", c.querySize, &plan)
      rawKey = reserve("rawKey", c.keyValueSize, &plan)
      queryStatistics = reserve("statistics", NormLayer.statisticsColumns * c.headCount, &plan)
      keyStatistics = reserve(
        "statistics", NormLayer.statisticsColumns * c.keyValueHeadCount, &plan)
    } else {
      (rawQuery, rawKey, queryStatistics, keyStatistics) = (nil, nil, nil, nil)
    }
  }

  /// - Parameter scratch: two matrices of [tokens, intermediate], for gate and up where they are
  ///   kept rounded.
  func views(
    _ workspace: Workspace, rows: Int, scratch: (gate: MatrixView, up: MatrixView)
  ) -> LlamaActivations {
    func view(_ slot: WorkspaceSlot?) -> MatrixView {
      slot.map { workspace.view($0, rows: rows) } ?? .empty
    }
    func perHead(_ slot: WorkspaceSlot?, _ heads: Int) -> MatrixView {
      slot.map {
        workspace.view($0, rows: rows * heads, columns: NormLayer.statisticsColumns)
      } ?? .empty
    }
    let attention = view(self.attention)
    let (gate, up) = (view(self.gate), view(self.up))
    let kept =
      isRounded
      ? SwiGLU.Kept(
        gate: RoundedView(gate, columns: intermediateSize),
        up: RoundedView(up, columns: intermediateSize)) : nil
    return LlamaActivations(
      inputStatistics: view(inputStatistics), rawQuery: view(rawQuery), rawKey: view(rawKey),
      queryStatistics: perHead(queryStatistics, shape.heads),
      keyStatistics: perHead(keyStatistics, shape.keyValueHeads), query: view(query),
      key: view(key), value: view(value), logSumExp: view(logSumExp), attention: attention,
      combined: combined == nil ? attention : view(combined), middle: view(middle),
      postStatistics: view(postStatistics), gate: isRounded ? scratch.gate : gate,
      up: isRounded ? scratch.up : up, kept: kept)
  }
}
