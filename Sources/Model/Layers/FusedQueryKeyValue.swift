import Kernels
import Tensors

/// Queries, keys and values by one projection, whose result holds them side by side or head by head.
final class FusedQueryKeyValue: QueryKeyValueSource {
  /// In which order the projection's features come.
  enum Order {
    /// All queries, all keys, all values.
    case sideBySide
    /// Of each head the query, the key and the value (GPT-NeoX); as many keys as queries.
    case headByHead
  }

  /// The projection alone.
  let inputs: [LinearLayer]
  private let fused: LinearLayer
  private let order: Order
  private let headCount: Int
  private let headDim: Int
  private let querySize: Int
  let keyValueSize: Int
  private var slot: WorkspaceSlot?  // [tokens, (N + 2·K)·D], side by side
  private var prefixSlots: PrefixSlots?
  private var memory: BlockMemory?

  private struct PrefixSlots {
    let forward: WorkspaceSlot  // [P, (N + 2·K)·D], side by side
    let backward: WorkspaceSlot  // [P, (N + 2·K)·D], side by side
    let interleaved: WorkspaceSlot?  // [P, (N + 2·K)·D], head by head
  }

  /// - Parameter fused: the projection, to (N + 2·K)·D features.
  init(_ fused: LinearLayer, order: Order = .sideBySide, _ c: DecoderConfiguration) {
    precondition(order == .sideBySide || c.headCount == c.keyValueHeadCount, "grouped heads")
    self.fused = fused
    self.order = order
    inputs = [fused]
    (headCount, headDim) = (c.headCount, c.headDim)
    (querySize, keyValueSize) = (c.querySize, c.keyValueSize)
  }

  var norms: [NormLayer] { [] }
  var isFused: Bool { true }
  var isInterleaved: Bool { order == .headByHead }
  // One projection makes all three, so their gradients are needed together.
  var trains: (query: Bool, key: Bool, value: Bool) {
    (fused.trains, fused.trains, fused.trains)
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, gatedRows: Int) {
    slot = plan.reserveOperand("block.fused", rows: rows, columns: fused.outputSize)
    func prefix(_ name: String, _ plan: inout WorkspacePlan) -> WorkspaceSlot {
      plan.reserve("prefix." + name, rows: gatedRows, columns: fused.outputSize)
    }
    prefixSlots =
      gatedRows == 0
      ? nil
      : PrefixSlots(
        forward: prefix("fused", &plan), backward: prefix("dFused", &plan),
        interleaved: isInterleaved ? prefix("interleaved", &plan) : nil)
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func values(_ pass: Pass) -> QueryKeyValue { split(result(pass)) }
  func gradients(_ pass: Pass) -> QueryKeyValue { split(gradient(pass)) }

  func forward(_ n: MatrixView, _ pass: Pass) {
    guard isInterleaved else { return fused.forward(n, into: result(pass), pass) }
    let interleaved = prepared.view(prepared.scratch.interleaved, pass)
    fused.forward(n, into: interleaved, pass)
    separate(interleaved, into: result(pass), on: pass.compute)
  }

  func backward(input n: MatrixView, into dn: MatrixView, isNeeded: Bool, _ pass: Pass) {
    var d = gradient(pass)
    if isInterleaved {
      let interleaved = prepared.view(prepared.scratch.interleaved, pass)
      interleave(d, into: interleaved, on: pass.compute)
      d = interleaved
    }
    fused.backward(d, input: n, into: dn, adding: false, isNeeded: isNeeded, pass)
  }

  private func separate(_ x: MatrixView, into y: MatrixView, on compute: Compute) {
    Elementwise.exchangeGroups(x, outer: headCount, inner: 3, width: headDim, into: y, on: compute)
  }

  private func interleave(_ x: MatrixView, into y: MatrixView, on compute: Compute) {
    Elementwise.exchangeGroups(x, outer: 3, inner: headCount, width: headDim, into: y, on: compute)
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
    let (result, _, interleaved) = prefixViews
    fused.base(rows, into: interleaved ?? result, on: compute)
    if let interleaved { separate(interleaved, into: result, on: compute) }
    let x = split(result)
    keys.copy(from: x.key)
    values.copy(from: x.value)
  }

  func backwardKeysAndValues(
    dKeys: MatrixView, dValues: MatrixView, rows: MatrixView, addingTo dRows: MatrixView,
    on compute: Compute
  ) {
    let (_, gradient, interleaved) = prefixViews
    let d = split(gradient)
    d.query.fill(0)
    d.key.copy(from: dKeys)
    d.value.copy(from: dValues)
    if let interleaved { interleave(gradient, into: interleaved, on: compute) }
    fused.baseBackward(interleaved ?? gradient, into: dRows, adding: true, on: compute)
  }

  private var prefixViews: (forward: MatrixView, backward: MatrixView, interleaved: MatrixView?) {
    guard let prefixSlots else { preconditionFailure("no gated prefix was planned") }
    let workspace = prepared.workspace
    return (
      workspace.view(prefixSlots.forward), workspace.view(prefixSlots.backward),
      prefixSlots.interleaved.map { workspace.view($0) }
    )
  }
}
