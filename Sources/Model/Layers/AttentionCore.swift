import Kernels
import Tensors

/// Attention of one block between its projections: prefix, softmax, gate, cache.
///
/// How queries, keys and values are made, and where a gated result is added, is ``AttentionBody``'s.
final class AttentionCore {
  let shape: AttentionShape
  let block: Int
  /// Arithmetic of attention's products, but with a joint prefix or gated rows, which are f32.
  let arithmetic: Arithmetic
  /// The same heads for gated rows, whose scores PEFT always divides by √D, whatever GPT-2's
  /// configuration says of its own, and which know no window.
  private let gatedShape: AttentionShape
  private(set) var hook: (any AttentionHook)?
  private var slots: Slots?
  private var workspace: Workspace?

  private struct Slots {
    let keys: WorkspaceSlot  // [P, K·D]
    let values: WorkspaceSlot  // [P, K·D]
    let dKeys: WorkspaceSlot  // [P, K·D]
    let dValues: WorkspaceSlot  // [P, K·D]
    let dGate: WorkspaceSlot  // [1, 1]
  }

  init(shape: AttentionShape, block: Int, arithmetic: Arithmetic) {
    self.shape = shape
    self.block = block
    self.arithmetic = arithmetic
    gatedShape = AttentionShape(
      headCount: shape.headCount, keyValueHeadCount: shape.keyValueHeadCount,
      headDim: shape.headDim, scale: 1 / Float(shape.headDim).squareRoot())
  }

  var isGated: Bool { hook?.mode == .gated }

  func attach(_ hook: any AttentionHook) { self.hook = hook }

  /// Reserves the extra rows.
  ///
  /// They are the block's own: filled in forward, read again in backward.
  func reserve(_ plan: inout WorkspacePlan) {
    guard let hook else { return }
    let (rows, columns) = (hook.prefixLength, shape.keyValueHeadCount * shape.headDim)
    slots = Slots(
      keys: plan.reserve("prefix.keys", rows: rows, columns: columns),
      values: plan.reserve("prefix.values", rows: rows, columns: columns),
      dKeys: plan.reserve("prefix.dKeys", rows: rows, columns: columns),
      dValues: plan.reserve("prefix.dValues", rows: rows, columns: columns),
      dGate: plan.reserve("prefix.dGate", rows: 1, columns: 1))
  }

  func use(_ workspace: Workspace) { self.workspace = workspace }

  /// Attention of `query` over `key` and `value` (and a joint prefix) into `out`, [tokens, N·D].
  func forward(
    query: MatrixView, key: MatrixView, value: MatrixView, into out: MatrixView,
    logSumExp: MatrixView, projections: any KeyValueProjecting, _ pass: Pass
  ) {
    if let hook, let extra = extraRows {
      pass.compute.part(.adapter) {
        hook.fill(
          keys: extra.keys, values: extra.values, block: projections, on: pass.compute)
      }
    }
    let prefix = hook?.mode == .joint ? extraRows : nil
    guard let cache = pass.cache else {
      pass.compute.part(.attention) {
        Attention.forward(
          query: query, key: key, value: value, prefix: prefix, spans: pass.batch.spans,
          shape: shape, arithmetic: arithmetic, into: out, logSumExp: logSumExp, on: pass.compute)
      }
      return
    }
    let keys = cache.keys(block: block, adding: key.rows)
    let values = cache.values(block: block, adding: key.rows)
    keys.rows(cache.length..<keys.rows).copy(from: key)
    values.rows(cache.length..<values.rows).copy(from: value)
    let spans = cache.spans(adding: key.rows)
    Attention.forward(
      query: query, key: keys, value: values, prefix: prefix,
      spans: SequenceSpans(queryOffsets: spans.queries, keyOffsets: spans.keys), shape: shape,
      arithmetic: arithmetic, into: out, logSumExp: logSumExp, on: pass.compute)
  }

  /// Adds the gated attention over the extra rows to `out`, [tokens, N·D].
  func addGated(query: MatrixView, to out: MatrixView, _ pass: Pass) {
    guard let hook, hook.mode == .gated, let extra = extraRows else { return }
    pass.compute.part(.adapter) {
      GatedAttention.forward(
        query: query, keys: extra.keys, values: extra.values, gate: hook.gate, shape: gatedShape,
        addingTo: out, on: pass.compute)
    }
  }

  /// Backward of `forward`.
  ///
  /// `out` is what forward wrote. Gradients of a joint prefix go to the hook.
  func backward(
    _ dOut: MatrixView, query: MatrixView, key: MatrixView, value: MatrixView, out: MatrixView,
    logSumExp: MatrixView, dQuery: MatrixView, dKey: MatrixView, dValue: MatrixView,
    projections: any KeyValueProjecting, _ pass: Pass
  ) {
    let isJoint = hook?.mode == .joint
    let gradients = isJoint ? clearedGradients() : nil
    pass.compute.part(.attention) {
      Attention.backward(
        dOut, query: query, key: key, value: value, prefix: isJoint ? extraRows : nil, out: out,
        logSumExp: logSumExp, spans: pass.batch.spans, shape: shape, arithmetic: arithmetic,
        into: dQuery, dKey, dValue, prefixGradients: gradients, on: pass.compute)
    }
    if let hook, let gradients {
      pass.compute.part(.adapter) {
        hook.backward(
          dKeys: gradients.dKeys, dValues: gradients.dValues, dGate: gateGradient,
          block: projections, on: pass.compute)
      }
    }
  }

  /// Backward of `addGated`, adding to the queries' gradient; the rest goes to the hook.
  func backwardGated(
    _ dOut: MatrixView, query: MatrixView, addingTo dQuery: MatrixView,
    projections: any KeyValueProjecting, _ pass: Pass
  ) {
    guard let hook, hook.mode == .gated, let extra = extraRows,
      let gradients = clearedGradients()
    else { return }
    pass.compute.part(.adapter) {
      GatedAttention.backward(
        dOut, query: query, keys: extra.keys, values: extra.values, gate: hook.gate,
        shape: gatedShape, addingTo: dQuery, dKeys: gradients.dKeys, dValues: gradients.dValues,
        dGate: gateGradient, on: pass.compute)
      hook.backward(
        dKeys: gradients.dKeys, dValues: gradients.dValues, dGate: gateGradient,
        block: projections, on: pass.compute)
    }
  }

  private var extraRows: PrefixKeyValues? {
    guard let slots, let workspace else { return nil }
    return PrefixKeyValues(
      keys: workspace.view(slots.keys), values: workspace.view(slots.values))
  }

  private func clearedGradients() -> PrefixGradients? {
    guard let slots, let workspace else { return nil }
    let gradients = PrefixGradients(
      dKeys: workspace.view(slots.dKeys), dValues: workspace.view(slots.dValues))
    gradients.dKeys.fill(0)
    gradients.dValues.fill(0)
    gateGradient.fill(0)
    return gradients
  }

  private var gateGradient: MatrixView {
    guard let slots, let workspace else { return .empty }
    return workspace.view(slots.dGate)
  }
}
