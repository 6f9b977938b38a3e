import Kernels
import Tensors

/// A block of Llama, Mistral, Qwen2 or Qwen3.
///
///     h = x + o_proj(attention(rope(q_norm(q_proj(n))), rope(k_norm(k_proj(n))), v_proj(n)))
///     y = h + down_proj(silu(gate_proj(m)) ⊙ up_proj(m))         n = norm(x), m = norm(h)
///
/// (Touvron et al. 2023, arXiv:2302.13971; the norms of queries and keys are Qwen3's.)
final class LlamaBlock: DecoderBlock {
  /// The parts, by their names in the weight files.
  struct Parts {
    let inputNorm, postNorm: NormLayer
    let query, key, value, output: LinearLayer
    let queryNorm, keyNorm: NormLayer?
    let gate, up, down: LinearLayer
  }

  let core: AttentionCore
  let sublayerSites: SublayerSites
  let parts: Parts
  private let configuration: DecoderConfiguration
  private var slots: LlamaActivationSlots?
  private var prefixSlots: PrefixSlots?
  private var memory: BlockMemory?

  init(parts: Parts, core: AttentionCore, configuration: DecoderConfiguration) {
    self.parts = parts
    self.core = core
    self.configuration = configuration
    sublayerSites = SublayerSites(block: core.block)
  }

  var linearLayers: [LinearLayer] {
    [
      parts.query, parts.key, parts.value, parts.output, parts.gate, parts.up, parts.down,
    ]
  }

  var norms: [NormLayer] {
    [parts.inputNorm, parts.queryNorm, parts.keyNorm, parts.postNorm].compactMap(\.self)
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    slots = LlamaActivationSlots(
      &plan, configuration, rows: rows, isGated: core.isGated,
      isRounded: isTraining && parts.gate.isRounding && parts.up.isRounding)
    if let hook = core.hook, hook.mode == .gated, parts.keyNorm != nil {
      prefixSlots = PrefixSlots(&plan, configuration, rows: hook.prefixLength)
    }
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func forward(_ x: MatrixView, into y: MatrixView, _ pass: Pass) {
    let (a, scratch) = (activations(pass), views(pass))
    pass.compute.part(.projection) { forwardAttention(x, a, scratch, pass) }
    pass.compute.part(.feedForward) { forwardFeedForward(into: y, a, scratch, pass) }
  }

  /// `a.middle` becomes the residual stream between the halves.
  private func forwardAttention(
    _ x: MatrixView, _ a: LlamaActivations, _ scratch: ScratchViews, _ pass: Pass
  ) {
    let (n, compute) = (scratch.normed, pass.compute)
    parts.inputNorm.forward(x, into: n, statistics: a.inputStatistics, on: compute)
    projectQueryAndKey(n, a, pass)
    parts.value.forward(n, into: a.value, pass)
    core.forward(
      query: a.query, key: a.key, value: a.value, into: a.attention, logSumExp: a.logSumExp,
      projections: self, pass)
    if core.isGated {
      a.combined.copy(from: a.attention)
      core.addGated(query: a.query, to: a.combined, pass)
    }
    parts.output.forward(a.combined, into: scratch.sublayer, pass)
    sublayerSites.forward(.attention, scratch.sublayer, pass)
    a.middle.copy(from: x)
    Elementwise.add(scratch.sublayer, addingTo: a.middle, on: compute)
  }

  private func forwardFeedForward(
    into y: MatrixView, _ a: LlamaActivations, _ scratch: ScratchViews, _ pass: Pass
  ) {
    let (m, compute) = (scratch.normed, pass.compute)
    parts.postNorm.forward(a.middle, into: m, statistics: a.postStatistics, on: compute)
    parts.gate.forward(m, into: a.gate, pass)
    parts.up.forward(m, into: a.up, pass)
    if let kept = a.kept {
      SwiGLU.forward(
        a.gate, up: a.up, into: scratch.inner, keeping: kept, kind: configuration.activation,
        on: compute)
    } else {
      SwiGLU.forward(
        a.gate, up: a.up, into: scratch.inner, kind: configuration.activation, on: compute)
    }
    parts.down.forward(scratch.inner, into: y, pass)
    sublayerSites.forward(.feedForward, y, pass)
    Elementwise.add(a.middle, addingTo: y, on: compute)
  }

  func backward(_ dy: MatrixView, input x: MatrixView, isNeeded: Bool, _ pass: Pass) {
    let (a, scratch) = (activations(pass), views(pass))
    let isAttentionReached = isNeeded || isAttentionTrained
    pass.compute.part(.feedForward) {
      backwardFeedForward(dy, a, scratch, isNeeded: isAttentionReached, pass)
    }
    guard isAttentionReached else { return }
    pass.compute.part(.projection) {
      backwardAttention(dy, input: x, a, scratch, isNeeded: isNeeded, pass)
    }
  }

  /// `dy` becomes the gradient of the residual stream between the halves.
  private func backwardFeedForward(
    _ dy: MatrixView, _ a: LlamaActivations, _ scratch: ScratchViews, isNeeded: Bool, _ pass: Pass
  ) {
    let compute = pass.compute
    var dResult = dy
    if sublayerSites.has(.feedForward) || parts.down.changesOutputGradient {
      scratch.sublayer.copy(from: dy)
      sublayerSites.backward(.feedForward, scratch.sublayer, pass)
      dResult = scratch.sublayer
    }
    let isInnerNeeded = isFeedForwardInnerNeeded(isNeeded)
    if parts.down.readsInput { forwardGateAgain(a, into: scratch.inner, on: compute) }
    if parts.down.isTrained || isInnerNeeded {
      parts.down.backward(
        dResult, input: scratch.inner, into: scratch.dInner, adding: false,
        isNeeded: isInnerNeeded, pass)
    }
    guard isInnerNeeded else { return }
    backwardGate(scratch.dInner, a, on: compute)
    if parts.gate.readsInput || parts.up.readsInput {
      parts.postNorm.forward(
        a.middle, into: scratch.normed, statistics: a.postStatistics, on: compute)
    }
    let isNormNeeded = isNeeded || parts.postNorm.isTrained
    parts.gate.backward(
      a.gate, input: scratch.normed, into: scratch.dNormed, adding: false, isNeeded: isNormNeeded,
      pass)
    parts.up.backward(
      a.up, input: scratch.normed, into: scratch.dNormed, adding: true, isNeeded: isNormNeeded,
      pass)
    if isNormNeeded {
      parts.postNorm.backward(
        scratch.dNormed, input: a.middle, statistics: a.postStatistics, into: dy, adding: true,
        on: compute)
    }
  }

  private func forwardGateAgain(
    _ a: LlamaActivations, into inner: MatrixView, on compute: Compute
  ) {
    let kind = configuration.activation
    if let kept = a.kept {
      SwiGLU.forward(kept, into: inner, kind: kind, on: compute)
    } else {
      SwiGLU.forward(a.gate, up: a.up, into: inner, kind: kind, on: compute)
    }
  }

  /// `a.gate` and `a.up`, read here for the last time, become their gradients.
  private func backwardGate(_ dInner: MatrixView, _ a: LlamaActivations, on compute: Compute) {
    let kind = configuration.activation
    if let kept = a.kept {
      SwiGLU.backward(dInner, kept, into: a.gate, a.up, kind: kind, on: compute)
    } else {
      SwiGLU.backward(
        dInner, gate: a.gate, up: a.up, into: a.gate, a.up, kind: kind, on: compute)
    }
  }

  /// `dy`, the gradient of the stream between the halves, becomes that of the block's input.
  private func backwardAttention(
    _ dy: MatrixView, input x: MatrixView, _ a: LlamaActivations, _ scratch: ScratchViews,
    isNeeded: Bool, _ pass: Pass
  ) {
    var dResult = dy
    if sublayerSites.has(.attention) || parts.output.changesOutputGradient {
      scratch.sublayer.copy(from: dy)
      sublayerSites.backward(.attention, scratch.sublayer, pass)
      dResult = scratch.sublayer
    }
    let isCoreNeeded = isNeeded || areProjectionsTrained
    if parts.output.isTrained || isCoreNeeded {
      parts.output.backward(
        dResult, input: a.combined, into: scratch.dAttention, adding: false,
        isNeeded: isCoreNeeded, pass)
    }
    guard isCoreNeeded else { return }
    core.backward(
      scratch.dAttention, query: a.query, key: a.key, value: a.value, out: a.attention,
      logSumExp: a.logSumExp, dQuery: scratch.dQuery, dKey: scratch.dKey, dValue: scratch.dValue,
      projections: self, pass)
    core.backwardGated(
      scratch.dAttention, query: a.query, addingTo: scratch.dQuery, projections: self, pass)
    backwardQueryAndKey(a, scratch, pass)

    if parts.query.readsInput || parts.key.readsInput || parts.value.readsInput {
      parts.inputNorm.forward(
        x, into: scratch.normed, statistics: a.inputStatistics, on: pass.compute)
    }
    let isNormNeeded = isNeeded || parts.inputNorm.isTrained
    let (n, dn) = (scratch.normed, scratch.dNormed)
    parts.query.backward(
      scratch.dQuery, input: n, into: dn, adding: false, isNeeded: isNormNeeded, pass)
    parts.key.backward(
      scratch.dKey, input: n, into: dn, adding: true, isNeeded: isNormNeeded, pass)
    parts.value.backward(
      scratch.dValue, input: n, into: dn, adding: true, isNeeded: isNormNeeded, pass)
    if isNormNeeded {
      parts.inputNorm.backward(
        dn, input: x, statistics: a.inputStatistics, into: dy, adding: true, on: pass.compute)
    }
  }

  private func projectQueryAndKey(_ n: MatrixView, _ a: LlamaActivations, _ pass: Pass) {
    let c = configuration
    if let queryNorm = parts.queryNorm, let keyNorm = parts.keyNorm {
      parts.query.forward(n, into: a.rawQuery, pass)
      parts.key.forward(n, into: a.rawKey, pass)
      queryNorm.forward(
        heads(a.rawQuery), into: heads(a.query), statistics: a.queryStatistics, on: pass.compute)
      keyNorm.forward(
        heads(a.rawKey), into: heads(a.key), statistics: a.keyStatistics, on: pass.compute)
    } else {
      parts.query.forward(n, into: a.query, pass)
      parts.key.forward(n, into: a.key, pass)
    }
    rotary.apply(a.query, headCount: c.headCount, pass)
    rotary.apply(a.key, headCount: c.keyValueHeadCount, pass)
  }

  private func backwardQueryAndKey(_ a: LlamaActivations, _ scratch: ScratchViews, _ pass: Pass) {
    let (c, compute) = (configuration, pass.compute)
    rotary.applyInverse(scratch.dQuery, headCount: c.headCount, pass)
    rotary.applyInverse(scratch.dKey, headCount: c.keyValueHeadCount, pass)
    guard let queryNorm = parts.queryNorm, let keyNorm = parts.keyNorm else { return }
    // Queries and keys are read for the last time before this; their memory takes the result.
    queryNorm.backward(
      heads(scratch.dQuery), input: heads(a.rawQuery), statistics: a.queryStatistics,
      into: heads(a.query), adding: false, on: compute)
    scratch.dQuery.copy(from: a.query)
    keyNorm.backward(
      heads(scratch.dKey), input: heads(a.rawKey), statistics: a.keyStatistics,
      into: heads(a.key), adding: false, on: compute)
    scratch.dKey.copy(from: a.key)
  }

  // MARK: What trains

  /// Whether backward goes on below the down projection.
  func isFeedForwardInnerNeeded(_ isNeeded: Bool) -> Bool {
    isNeeded || parts.gate.isTrained || parts.up.isTrained || parts.postNorm.isTrained
  }

  var areProjectionsTrained: Bool {
    parts.query.isTrained || parts.key.isTrained || parts.value.isTrained
      || parts.inputNorm.isTrained || core.hook != nil || (parts.queryNorm?.isTrained ?? false)
      || (parts.keyNorm?.isTrained ?? false)
  }

  var isAttentionTrained: Bool {
    areProjectionsTrained || parts.output.isTrained || sublayerSites.has(.attention)
  }

  // MARK: Views

  private struct ScratchViews {
    let normed, dNormed, sublayer, inner, dInner, dAttention, dQuery, dKey, dValue: MatrixView
  }

  private var rotary: RotaryPositions {
    guard let rotary = memory?.rotary else { preconditionFailure("no workspace was prepared") }
    return rotary
  }

  private func activations(_ pass: Pass) -> LlamaActivations {
    guard let slots, let memory else { preconditionFailure("no workspace was prepared") }
    // Backward's gradient of the inner activation and that activation have no use yet while gate and
    // up are there, nor after their gradients are.
    let scratch = views(pass)
    return slots.views(
      memory.workspace, rows: pass.rowCount, scratch: (gate: scratch.dInner, up: scratch.inner))
  }

  private func views(_ pass: Pass) -> ScratchViews {
    guard let memory else { preconditionFailure("no workspace was prepared") }
    func view(_ slot: WorkspaceSlot) -> MatrixView {
      slot.rows == 0 ? .empty : memory.workspace.view(slot, rows: pass.rowCount)
    }
    let s = memory.scratch
    return ScratchViews(
      normed: view(s.normed), dNormed: view(s.dNormed), sublayer: view(s.sublayer),
      inner: view(s.inner), dInner: view(s.dInner), dAttention: view(s.dAttention),
      dQuery: view(s.dQuery), dKey: view(s.dKey), dValue: view(s.dValue))
  }

  private func heads(_ x: MatrixView) -> MatrixView {
    x.reshaped(rows: x.count / configuration.headDim, columns: configuration.headDim)
  }
}

// MARK: Extra keys and values

/// Projected keys of a gated prefix before their norm, which Qwen3 has.
private struct PrefixSlots {
  let raw: WorkspaceSlot  // [P, K·D]
  let dRaw: WorkspaceSlot  // [P, K·D]
  let statistics: WorkspaceSlot  // [P·K, 2]

  init(_ plan: inout WorkspacePlan, _ c: DecoderConfiguration, rows: Int) {
    raw = plan.reserve("prefix.raw", rows: rows, columns: c.keyValueSize)
    dRaw = plan.reserve("prefix.dRaw", rows: rows, columns: c.keyValueSize)
    statistics = plan.reserve(
      "prefix.statistics", rows: rows * c.keyValueHeadCount,
      columns: NormLayer.statisticsColumns)
  }
}

extension LlamaBlock: KeyValueProjecting {
  var keyValueSize: Int { configuration.keyValueSize }

  /// Qwen3's norm of keys applies to extra keys as to the sequence's own; PEFT has no such case.
  func projectKeysAndValues(
    _ rows: MatrixView, keys: MatrixView, values: MatrixView, on compute: Compute
  ) {
    parts.value.base(rows, into: values, on: compute)
    guard let keyNorm = parts.keyNorm, let prefixSlots, let memory else {
      return parts.key.base(rows, into: keys, on: compute)
    }
    let raw = memory.workspace.view(prefixSlots.raw)
    parts.key.base(rows, into: raw, on: compute)
    keyNorm.forward(
      heads(raw), into: heads(keys), statistics: memory.workspace.view(prefixSlots.statistics),
      on: compute)
  }

  func backwardKeysAndValues(
    dKeys: MatrixView, dValues: MatrixView, rows: MatrixView, addingTo dRows: MatrixView,
    on compute: Compute
  ) {
    parts.value.baseBackward(dValues, into: dRows, adding: true, on: compute)
    guard let keyNorm = parts.keyNorm, let prefixSlots, let memory else {
      return parts.key.baseBackward(dKeys, into: dRows, adding: true, on: compute)
    }
    let dRaw = memory.workspace.view(prefixSlots.dRaw)
    keyNorm.backward(
      heads(dKeys), input: heads(memory.workspace.view(prefixSlots.raw)),
      statistics: memory.workspace.view(prefixSlots.statistics), into: heads(dRaw),
      adding: false, on: compute)
    parts.key.baseBackward(dRaw, into: dRows, adding: true, on: compute)
  }
}
