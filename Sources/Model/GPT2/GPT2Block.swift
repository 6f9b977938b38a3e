import Kernels
import Tensors

/// A block of GPT-2.
///
///     h = x + c_proj(attention(c_attn(ln_1(x))))
///     y = h + c_proj(gelu(c_fc(ln_2(h))))
///
/// (Radford et al. 2019.) Projections are transformers' `Conv1D`: stored [in, out], with biases;
/// `c_attn` makes queries, keys and values in one product. Positions are learned and added by the
/// decoder, so nothing is rotated here.
final class GPT2Block: DecoderBlock {
  /// The parts, by their names in the weight files.
  struct Parts {
    let first, second: NormLayer
    let fused, output: LinearLayer
    let expand, contract: LinearLayer
  }

  let core: AttentionCore
  let sublayerSites: SublayerSites
  let parts: Parts
  private let configuration: DecoderConfiguration
  private var slots: GPT2ActivationSlots?
  private var prefixSlots: (forward: WorkspaceSlot, backward: WorkspaceSlot)?
  private var memory: BlockMemory?

  init(parts: Parts, core: AttentionCore, configuration: DecoderConfiguration) {
    self.parts = parts
    self.core = core
    self.configuration = configuration
    sublayerSites = SublayerSites(block: core.block)
  }

  var linearLayers: [LinearLayer] { [parts.fused, parts.output, parts.expand, parts.contract] }
  var norms: [NormLayer] { [parts.first, parts.second] }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    slots = GPT2ActivationSlots(
      &plan, configuration, rows: rows, isRounded: isTraining && parts.expand.isRounding)
    if let hook = core.hook, hook.mode == .gated {
      let columns = 3 * configuration.hiddenSize
      prefixSlots = (
        plan.reserve("prefix.fused", rows: hook.prefixLength, columns: columns),
        plan.reserve("prefix.dFused", rows: hook.prefixLength, columns: columns)
      )
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
    _ x: MatrixView, _ a: GPT2Activations, _ scratch: ScratchViews, _ pass: Pass
  ) {
    let compute = pass.compute
    parts.first.forward(
      x, into: scratch.normed, statistics: a.firstStatistics, on: compute)
    parts.fused.forward(scratch.normed, into: a.fused, pass)
    core.forward(
      query: a.query, key: a.key, value: a.value, into: a.attention, logSumExp: a.logSumExp,
      projections: self, pass)
    parts.output.forward(a.attention, into: scratch.sublayer, pass)
    // PEFT adds LLaMA-Adapter's part of GPT-2 behind c_proj; so do we, for its files.
    core.addGated(query: a.query, to: scratch.sublayer, pass)
    sublayerSites.forward(.attention, scratch.sublayer, pass)
    a.middle.copy(from: x)
    Elementwise.add(scratch.sublayer, addingTo: a.middle, on: compute)
  }

  private func forwardFeedForward(
    into y: MatrixView, _ a: GPT2Activations, _ scratch: ScratchViews, _ pass: Pass
  ) {
    let compute = pass.compute
    parts.second.forward(
      a.middle, into: scratch.normed, statistics: a.secondStatistics, on: compute)
    parts.expand.forward(scratch.normed, into: a.inner, pass)
    if let kept = a.kept {
      Activation.forward(
        configuration.activation, a.inner, into: scratch.inner, keeping: kept, on: compute)
    } else {
      Activation.forward(configuration.activation, a.inner, into: scratch.inner, on: compute)
    }
    parts.contract.forward(scratch.inner, into: y, pass)
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
    _ dy: MatrixView, _ a: GPT2Activations, _ scratch: ScratchViews, isNeeded: Bool, _ pass: Pass
  ) {
    let compute = pass.compute
    var dResult = dy
    if sublayerSites.has(.feedForward) || parts.contract.changesOutputGradient {
      scratch.sublayer.copy(from: dy)
      sublayerSites.backward(.feedForward, scratch.sublayer, pass)
      dResult = scratch.sublayer
    }
    let isInnerNeeded = isFeedForwardInnerNeeded(isNeeded)
    let kind = configuration.activation
    if parts.contract.readsInput {
      if let kept = a.kept {
        Activation.forward(kind, kept, into: scratch.inner, on: compute)
      } else {
        Activation.forward(kind, a.inner, into: scratch.inner, on: compute)
      }
    }
    if parts.contract.isTrained || isInnerNeeded {
      parts.contract.backward(
        dResult, input: scratch.inner, into: scratch.dInner, adding: false,
        isNeeded: isInnerNeeded, pass)
    }
    guard isInnerNeeded else { return }
    let dInner = scratch.dInner
    if let kept = a.kept {
      Activation.backward(kind, dInner, input: kept, into: dInner, on: compute)
    } else {
      Activation.backward(kind, dInner, input: a.inner, into: dInner, on: compute)
    }
    if parts.expand.readsInput {
      parts.second.forward(
        a.middle, into: scratch.normed, statistics: a.secondStatistics, on: compute)
    }
    let isNormNeeded = isNeeded || parts.second.isTrained
    parts.expand.backward(
      scratch.dInner, input: scratch.normed, into: scratch.dNormed, adding: false,
      isNeeded: isNormNeeded, pass)
    if isNormNeeded {
      parts.second.backward(
        scratch.dNormed, input: a.middle, statistics: a.secondStatistics, into: dy, adding: true,
        on: compute)
    }
  }

  /// `dy`, the gradient of the stream between the halves, becomes that of the block's input.
  private func backwardAttention(
    _ dy: MatrixView, input x: MatrixView, _ a: GPT2Activations, _ scratch: ScratchViews,
    isNeeded: Bool, _ pass: Pass
  ) {
    var dResult = dy
    if sublayerSites.has(.attention) || parts.output.changesOutputGradient {
      scratch.sublayer.copy(from: dy)
      sublayerSites.backward(.attention, scratch.sublayer, pass)
      dResult = scratch.sublayer
    }
    let isCoreNeeded = isNeeded || areProjectionsTrained
    let dFused = scratch.dFused
    let width = a.attention.columns
    let dQuery = dFused.columns(0..<width)
    if parts.output.isTrained || isCoreNeeded {
      parts.output.backward(
        dResult, input: a.attention, into: scratch.dAttention, adding: false,
        isNeeded: isCoreNeeded, pass)
    }
    guard isCoreNeeded else { return }
    core.backward(
      scratch.dAttention, query: a.query, key: a.key, value: a.value, out: a.attention,
      logSumExp: a.logSumExp, dQuery: dQuery, dKey: dFused.columns(width..<(2 * width)),
      dValue: dFused.columns((2 * width)..<(3 * width)), projections: self, pass)
    core.backwardGated(dResult, query: a.query, addingTo: dQuery, projections: self, pass)
    if parts.fused.readsInput {
      parts.first.forward(
        x, into: scratch.normed, statistics: a.firstStatistics, on: pass.compute)
    }
    let isNormNeeded = isNeeded || parts.first.isTrained
    parts.fused.backward(
      dFused, input: scratch.normed, into: scratch.dNormed, adding: false,
      isNeeded: isNormNeeded, pass)
    if isNormNeeded {
      parts.first.backward(
        scratch.dNormed, input: x, statistics: a.firstStatistics, into: dy, adding: true,
        on: pass.compute)
    }
  }

  // MARK: What trains

  /// Whether backward goes on below the contracting projection.
  func isFeedForwardInnerNeeded(_ isNeeded: Bool) -> Bool {
    isNeeded || parts.expand.isTrained || parts.second.isTrained
  }

  var areProjectionsTrained: Bool {
    parts.fused.isTrained || parts.first.isTrained || core.hook != nil
  }

  var isAttentionTrained: Bool {
    areProjectionsTrained || parts.output.isTrained || sublayerSites.has(.attention)
  }

  // MARK: Views

  private struct ScratchViews {
    let normed, dNormed, sublayer, inner, dInner, dAttention, dFused: MatrixView
  }

  private func activations(_ pass: Pass) -> GPT2Activations {
    guard let slots, let memory else { preconditionFailure("no workspace was prepared") }
    // The activation is computed in place where what goes in is kept rounded.
    let scratch = memory.workspace.view(memory.scratch.inner, rows: pass.rowCount)
    return slots.views(memory.workspace, rows: pass.rowCount, scratch: scratch)
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
      dFused: view(s.dQuery))
  }
}

extension GPT2Block: KeyValueProjecting {
  var keyValueSize: Int { configuration.keyValueSize }

  func projectKeysAndValues(
    _ rows: MatrixView, keys: MatrixView, values: MatrixView, on compute: Compute
  ) {
    let fused = prefixView(\.forward)
    let width = configuration.hiddenSize
    parts.fused.base(rows, into: fused, on: compute)
    keys.copy(from: fused.columns(width..<(2 * width)))
    values.copy(from: fused.columns((2 * width)..<(3 * width)))
  }

  func backwardKeysAndValues(
    dKeys: MatrixView, dValues: MatrixView, rows: MatrixView, addingTo dRows: MatrixView,
    on compute: Compute
  ) {
    let dFused = prefixView(\.backward)
    let width = configuration.hiddenSize
    dFused.columns(0..<width).fill(0)
    dFused.columns(width..<(2 * width)).copy(from: dKeys)
    dFused.columns((2 * width)..<(3 * width)).copy(from: dValues)
    parts.fused.baseBackward(dFused, into: dRows, adding: true, on: compute)
  }

  private func prefixView(
    _ which: KeyPath<(forward: WorkspaceSlot, backward: WorkspaceSlot), WorkspaceSlot>
  ) -> MatrixView {
    guard let prefixSlots, let memory else { preconditionFailure("no gated prefix was planned") }
    return memory.workspace.view(prefixSlots[keyPath: which])
  }
}
