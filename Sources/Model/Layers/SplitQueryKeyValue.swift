import Kernels
import Tensors

/// Queries, keys and values by a projection each, with or without norms on queries and keys.
final class SplitQueryKeyValue: QueryKeyValueSource {
  /// The three projections.
  let inputs: [LinearLayer]
  /// Both norms, or none.
  let norms: [NormLayer]
  private let query, key, value: LinearLayer
  private let rowNorms: (query: NormLayer, key: NormLayer)?
  private var slots: Slots?
  private var memory: BlockMemory?

  private struct Slots {
    let query, key, value: WorkspaceSlot
    let raw: RawSlots?
    let prefix: PrefixSlots?
  }

  /// What goes into the norms of queries and keys.
  private struct RawSlots {
    let query: WorkspaceSlot  // [tokens, N·D]
    let key: WorkspaceSlot  // [tokens, K·D]
    let queryStatistics: WorkspaceSlot  // [tokens·N, 2], or [tokens, 2]
    let keyStatistics: WorkspaceSlot  // [tokens·K, 2], or [tokens, 2]
  }

  /// Projected keys of a gated prefix before their norm.
  private struct PrefixSlots {
    let raw: WorkspaceSlot  // [P, K·D]
    let dRaw: WorkspaceSlot  // [P, K·D]
    let statistics: WorkspaceSlot  // [P·K, 2], or [P, 2]
  }

  /// - Parameter rowNorms: norms over as many features as their weights have: those of each head, or
  ///   of all heads together.
  init(
    query: LinearLayer, key: LinearLayer, value: LinearLayer,
    rowNorms: (query: NormLayer, key: NormLayer)?
  ) {
    self.query = query
    self.key = key
    self.value = value
    self.rowNorms = rowNorms
    inputs = [query, key, value]
    norms = rowNorms.map { [$0.query, $0.key] } ?? []
  }

  var isFused: Bool { false }
  var trains: (query: Bool, key: Bool, value: Bool) {
    (
      query.trains || (rowNorms?.query.trains ?? false),
      key.trains || (rowNorms?.key.trains ?? false), value.trains
    )
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, gatedRows: Int) {
    func reserve(_ name: String, _ columns: Int, _ plan: inout WorkspacePlan) -> WorkspaceSlot {
      plan.reserve("block." + name, rows: rows, columns: columns)
    }
    func result(_ name: String, _ columns: Int, _ plan: inout WorkspacePlan) -> WorkspaceSlot {
      plan.reserveOperand(
        "block." + name, rows: rows, columns: columns, headsAreRows: rowNorms != nil)
    }
    let (querySize, keySize) = (query.outputSize, key.outputSize)
    let queryRows = rowNorms.map { querySize / $0.query.size } ?? 0
    let keyRows = rowNorms.map { keySize / $0.key.size } ?? 0
    let statistics = NormLayer.statisticsColumns
    slots = Slots(
      query: result("query", querySize, &plan), key: result("key", keySize, &plan),
      value: result("value", keySize, &plan),
      raw: rowNorms == nil
        ? nil
        : RawSlots(
          query: reserve("rawQuery", querySize, &plan), key: reserve("rawKey", keySize, &plan),
          queryStatistics: reserve("statistics", statistics * queryRows, &plan),
          keyStatistics: reserve("statistics", statistics * keyRows, &plan)),
      prefix: rowNorms == nil || gatedRows == 0
        ? nil
        : PrefixSlots(
          raw: plan.reserve("prefix.raw", rows: gatedRows, columns: keySize),
          dRaw: plan.reserve("prefix.dRaw", rows: gatedRows, columns: keySize),
          statistics: plan.reserve(
            "prefix.statistics", rows: gatedRows * keyRows, columns: statistics)))
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func values(_ pass: Pass) -> QueryKeyValue {
    let (slots, workspace) = (prepared.slots, prepared.memory.workspace)
    func view(_ slot: WorkspaceSlot) -> MatrixView { workspace.view(slot, rows: pass.rowCount) }
    return QueryKeyValue(
      query: view(slots.query), key: view(slots.key), value: view(slots.value))
  }

  func gradients(_ pass: Pass) -> QueryKeyValue {
    let memory = prepared.memory
    return QueryKeyValue(
      query: memory.view(memory.scratch.dQuery, pass), key: memory.view(memory.scratch.dKey, pass),
      value: memory.view(memory.scratch.dValue, pass))
  }

  func forward(_ n: MatrixView, _ pass: Pass) {
    let x = values(pass)
    if let rowNorms, let raw = rawViews(pass) {
      query.forward(n, into: raw.query, pass)
      key.forward(n, into: raw.key, pass)
      rowNorms.query.forward(
        rows(raw.query, of: rowNorms.query), into: rows(x.query, of: rowNorms.query),
        statistics: raw.queryStatistics, on: pass.compute)
      rowNorms.key.forward(
        rows(raw.key, of: rowNorms.key), into: rows(x.key, of: rowNorms.key),
        statistics: raw.keyStatistics, on: pass.compute)
    } else {
      query.forward(n, into: x.query, pass)
      key.forward(n, into: x.key, pass)
    }
    value.forward(n, into: x.value, pass)
  }

  func backward(input n: MatrixView, into dn: MatrixView, isNeeded: Bool, _ pass: Pass) {
    let d = gradients(pass)
    if let rowNorms, let raw = rawViews(pass) {
      // Queries and keys are read for the last time before this; their memory takes the result.
      let x = values(pass)
      rowNorms.query.backward(
        rows(d.query, of: rowNorms.query), input: rows(raw.query, of: rowNorms.query),
        statistics: raw.queryStatistics, into: rows(x.query, of: rowNorms.query), adding: false,
        on: pass.compute)
      d.query.copy(from: x.query)
      rowNorms.key.backward(
        rows(d.key, of: rowNorms.key), input: rows(raw.key, of: rowNorms.key),
        statistics: raw.keyStatistics, into: rows(x.key, of: rowNorms.key), adding: false,
        on: pass.compute)
      d.key.copy(from: x.key)
    }
    query.backward(d.query, input: n, into: dn, adding: false, isNeeded: isNeeded, pass)
    key.backward(d.key, input: n, into: dn, adding: true, isNeeded: isNeeded, pass)
    value.backward(d.value, input: n, into: dn, adding: true, isNeeded: isNeeded, pass)
  }

  private struct RawViews {
    let query, key, queryStatistics, keyStatistics: MatrixView
  }

  private func rawViews(_ pass: Pass) -> RawViews? {
    guard let raw = prepared.slots.raw, let rowNorms else { return nil }
    let workspace = prepared.memory.workspace
    let (query, key) = (
      workspace.view(raw.query, rows: pass.rowCount), workspace.view(raw.key, rows: pass.rowCount)
    )
    func statistics(_ slot: WorkspaceSlot, _ x: MatrixView, _ norm: NormLayer) -> MatrixView {
      workspace.view(slot, rows: x.count / norm.size, columns: NormLayer.statisticsColumns)
    }
    return RawViews(
      query: query, key: key,
      queryStatistics: statistics(raw.queryStatistics, query, rowNorms.query),
      keyStatistics: statistics(raw.keyStatistics, key, rowNorms.key))
  }

  private var prepared: (slots: Slots, memory: BlockMemory) {
    guard let slots, let memory else { preconditionFailure("no workspace was prepared") }
    return (slots, memory)
  }

  /// Rows of as many features as a norm takes.
  private func rows(_ x: MatrixView, of norm: NormLayer) -> MatrixView {
    x.reshaped(rows: x.count / norm.size, columns: norm.size)
  }
}

// MARK: Extra keys and values

extension SplitQueryKeyValue: KeyValueProjecting {
  var keyValueSize: Int { key.outputSize }

  /// A norm of keys applies to extra keys as to the sequence's own; PEFT has no such case.
  func projectKeysAndValues(
    _ rows: MatrixView, keys: MatrixView, values: MatrixView, on compute: Compute
  ) {
    value.base(rows, into: values, on: compute)
    guard let keyNorm = rowNorms?.key, let prefix = prepared.slots.prefix else {
      return key.base(rows, into: keys, on: compute)
    }
    let workspace = prepared.memory.workspace
    let raw = workspace.view(prefix.raw)
    key.base(rows, into: raw, on: compute)
    keyNorm.forward(
      self.rows(raw, of: keyNorm), into: self.rows(keys, of: keyNorm),
      statistics: workspace.view(prefix.statistics), on: compute)
  }

  func backwardKeysAndValues(
    dKeys: MatrixView, dValues: MatrixView, rows: MatrixView, addingTo dRows: MatrixView,
    on compute: Compute
  ) {
    value.baseBackward(dValues, into: dRows, adding: true, on: compute)
    guard let keyNorm = rowNorms?.key, let prefix = prepared.slots.prefix else {
      return key.baseBackward(dKeys, into: dRows, adding: true, on: compute)
    }
    let workspace = prepared.memory.workspace
    let dRaw = workspace.view(prefix.dRaw)
    keyNorm.backward(
      self.rows(dKeys, of: keyNorm), input: self.rows(workspace.view(prefix.raw), of: keyNorm),
      statistics: workspace.view(prefix.statistics), into: self.rows(dRaw, of: keyNorm),
      adding: false, on: compute)
    key.baseBackward(dRaw, into: dRows, adding: true, on: compute)
  }
}
