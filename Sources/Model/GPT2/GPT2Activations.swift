import Tensors

/// What a GPT-2 block keeps from forward to backward, besides its input.
struct GPT2Activations {
  let firstStatistics: MatrixView  // [tokens, 2]
  let fused: MatrixView  // [tokens, 3·hidden]: queries, keys, values
  let logSumExp: MatrixView  // [tokens, N]
  let attention: MatrixView  // [tokens, hidden]
  let middle: MatrixView  // [tokens, hidden] residual stream between the halves
  let secondStatistics: MatrixView  // [tokens, 2]
  let inner: MatrixView  // [tokens, intermediate] before the non-linearity; in scratch if `kept`
  let kept: RoundedView?  // inner rounded; nil where it is kept as it is

  var query: MatrixView { fused.columns(0..<attention.columns) }
  var key: MatrixView { fused.columns(attention.columns..<(2 * attention.columns)) }
  var value: MatrixView { fused.columns((2 * attention.columns)..<(3 * attention.columns)) }
}

/// Where a block's activations lie in the workspace.
struct GPT2ActivationSlots {
  private let firstStatistics, fused, logSumExp, attention: WorkspaceSlot
  private let middle, secondStatistics, inner: WorkspaceSlot
  private let isRounded: Bool
  private let intermediateSize: Int

  /// - Parameter isRounded: whether the inner activation is kept in bf16.
  init(_ plan: inout WorkspacePlan, _ c: DecoderConfiguration, rows: Int, isRounded: Bool) {
    self.isRounded = isRounded
    intermediateSize = c.intermediateSize
    func reserve(_ name: String, _ columns: Int, _ plan: inout WorkspacePlan) -> WorkspaceSlot {
      plan.reserve("block." + name, rows: rows, columns: columns)
    }
    firstStatistics = reserve("statistics", NormLayer.statisticsColumns, &plan)
    fused = reserve("fused", 3 * c.hiddenSize, &plan)
    logSumExp = reserve("logSumExp", c.headCount, &plan)
    attention = reserve("attention", c.hiddenSize, &plan)
    middle = reserve("middle", c.hiddenSize, &plan)
    secondStatistics = reserve("statistics", NormLayer.statisticsColumns, &plan)
    let innerColumns =
      isRounded ? RoundedView.floatColumns(c.intermediateSize) : c.intermediateSize
    inner = reserve("inner", innerColumns, &plan)
  }

  /// - Parameter scratch: [tokens, intermediate], for the inner activation where it is kept rounded.
  func views(_ workspace: Workspace, rows: Int, scratch: MatrixView) -> GPT2Activations {
    let inner = workspace.view(inner, rows: rows)
    return GPT2Activations(
      firstStatistics: workspace.view(firstStatistics, rows: rows),
      fused: workspace.view(fused, rows: rows), logSumExp: workspace.view(logSumExp, rows: rows),
      attention: workspace.view(attention, rows: rows), middle: workspace.view(middle, rows: rows),
      secondStatistics: workspace.view(secondStatistics, rows: rows),
      inner: isRounded ? scratch : inner,
      kept: isRounded ? RoundedView(inner, columns: intermediateSize) : nil)
  }
}
