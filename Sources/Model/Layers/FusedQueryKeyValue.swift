import Kernels
import Tensors

/// Queries, keys and values by one projection, whose result holds them side by side.
final class FusedQueryKeyValue: QueryKeyValueSource {
  /// The projection alone.
  let inputs: [LinearLayer]
  private let fused: LinearLayer
  private let querySize: Int
  let keyValueSize: Int
  private var slot: WorkspaceSlot?  // [tokens, (N + 2·K)·D]
  private var prefixSlots: (forward: WorkspaceSlot, backward: WorkspaceSlot)?  // [P, (N + 2·K)·D]
  private var memory: BlockMemory?

  /// - Parameters:
  ///   - fused: the projection, to `querySize` + 2 · `keyValueSize` features.
  ///   - querySize: features of the queries, which come first; then keys, then values.
  ///   - keyValueSize: features of the keys, and of the values.
  init(_ fused: LinearLayer, querySize: Int, keyValueSize: Int) {
    self.fused = fused
    inputs = [fused]
    self.querySize = querySize
    self.keyValueSize = keyValueSize
  }

  var norms: [NormLayer] { [] }
  var isFused: Bool { true }
  // One projection makes all three, so their gradients are needed together.
  var trains: (query: Bool, key: Bool, value: Bool) {
    (fused.isTrained, fused.isTrained, fused.isTrained)
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, gatedRows: Int) {
    slot = plan.reserve("block.fused", rows: rows, columns: fused.outputSize)
    prefixSlots =
      gatedRows == 0
      ? nil
      : (
        plan.reserve("prefix.fused", rows: gatedRows, columns: fused.outputSize),
        plan.reserve("prefix.dFused", rows: gatedRows, columns: fused.outputSize)
      )
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func values(_ pass: Pass) -> QueryKeyValue { split(result(pass)) }
  func gradients(_ pass: Pass) -> QueryKeyValue { split(gradient(pass)) }

  func forward(_ n: MatrixView, _ pass: Pass) { fused.forward(n, into: result(pass), pass) }

  func backward(input n: MatrixView, into dn: MatrixView, isNeeded: Bool, _ pass: Pass) {
    fused.backward(
      gradient(pass), input: n, into: dn, adding: false, isNeeded: isNeeded, pass)
  }

  private func result(_ pass: Pass) -> MatrixView {
    guard let slot else { preconditionFailure("no workspace was prepared") }
    return prepared.workspace.view(slot, rows: pass.rowCount)
  }

  private func gradient(_ pass: Pass) -> MatrixView {
    prepared.view(prepared.scratch.dFused, pass)
  }

  private func split(_ x: MatrixView) -> QueryKeyValue {
    let keyEnd = querySize + keyValueSize
    return QueryKeyValue(
      query: x.columns(0..<querySize), key: x.columns(querySize..<keyEnd),
      value: x.columns(keyEnd..<(keyEnd + keyValueSize)))
  }

  private var prepared: BlockMemory {
    guard let memory else { preconditionFailure("no workspace was prepared") }
    return memory
  }
}

// MARK: Extra keys and values

extension FusedQueryKeyValue: KeyValueProjecting {
  func projectKeysAndValues(
    _ rows: MatrixView, keys: MatrixView, values: MatrixView, on compute: Compute
  ) {
    let result = prefixView(\.forward)
    fused.base(rows, into: result, on: compute)
    let x = split(result)
    keys.copy(from: x.key)
    values.copy(from: x.value)
  }

  func backwardKeysAndValues(
    dKeys: MatrixView, dValues: MatrixView, rows: MatrixView, addingTo dRows: MatrixView,
    on compute: Compute
  ) {
    let gradient = prefixView(\.backward)
    let d = split(gradient)
    d.query.fill(0)
    d.key.copy(from: dKeys)
    d.value.copy(from: dValues)
    fused.baseBackward(gradient, into: dRows, adding: true, on: compute)
  }

  private func prefixView(
    _ which: KeyPath<(forward: WorkspaceSlot, backward: WorkspaceSlot), WorkspaceSlot>
  ) -> MatrixView {
    guard let prefixSlots else { preconditionFailure("no gated prefix was planned") }
    return prepared.workspace.view(prefixSlots[keyPath: which])
  }
}
