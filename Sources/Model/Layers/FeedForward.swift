import Diagnostics
import Kernels
import Tensors

/// A gated feed-forward network: `down(f(gate(n)) ⊙ up(n))`, gate and up by a projection each or
/// side by side by one.
final class GatedFeedForward: HalfBody {
  let inputs: [LinearLayer]
  let output: LinearLayer
  private let first: LinearLayer  // of gate, or of both
  private let up: LinearLayer?  // nil where `first` makes both
  private let activation: ActivationFunction
  private let columns: Int
  private var slots: Slots?
  private var memory: BlockMemory?

  private struct Slots {
    let gate, up: InnerSlot
    let both: WorkspaceSlot?  // [tokens, 2 · intermediate] where one projection makes both, in f32
  }

  init(gate: LinearLayer, up: LinearLayer, down: LinearLayer, activation: ActivationFunction) {
    inputs = [gate, up]
    (first, self.up) = (gate, up)
    output = down
    columns = gate.outputSize
    self.activation = activation
  }

  /// - Parameter gateAndUp: its result holds the gate's features, then as many of `up`.
  init(gateAndUp: LinearLayer, down: LinearLayer, activation: ActivationFunction) {
    inputs = [gateAndUp]
    (first, up) = (gateAndUp, nil)
    output = down
    columns = gateAndUp.outputSize / 2
    self.activation = activation
  }

  var part: StepPart { .feedForward }
  var last: LinearLayer? { output }
  var innerNorms: [NormLayer] { [] }
  var innerTrains: Bool { inputs.contains { $0.trains } }
  private var isFused: Bool { up == nil }
  private var isRounding: Bool { first.isRounding && up?.isRounding ?? true }
  /// Whether one projection makes gate and up, and they are kept rounded.
  var isFusedAndRounded: Bool { isFused && isRounding }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    let isRounded = isTraining && isRounding
    let isBoth = isFused && !isRounded
    let own = isBoth ? 0 : rows
    slots = Slots(
      gate: InnerSlot(&plan, "block.gate", rows: own, columns: columns, isRounded: isRounded),
      up: InnerSlot(&plan, "block.up", rows: own, columns: columns, isRounded: isRounded),
      both: isBoth
        ? plan.reserve("block.gateAndUp", rows: rows, columns: 2 * columns) : nil)
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func forward(_ m: MatrixView, into h: MatrixView, _ pass: Pass) {
    let a = activations(pass)
    first.forward(m, into: a.both ?? a.gate, pass)
    up?.forward(m, into: a.up, pass)
    if let kept = a.kept {
      SwiGLU.forward(
        a.gate, up: a.up, into: a.inner, keeping: kept, kind: activation, on: pass.compute)
    } else {
      SwiGLU.forward(a.gate, up: a.up, into: a.inner, kind: activation, on: pass.compute)
    }
    output.forward(a.inner, into: h, pass)
  }

  func backward(
    _ dh: MatrixView, input m: MatrixView, into dm: MatrixView, _ needs: HalfNeeds, _ pass: Pass
  ) {
    let (a, compute) = (activations(pass), pass.compute)
    if output.readsInput {
      if let kept = a.kept {
        SwiGLU.forward(kept, into: a.inner, kind: activation, on: compute)
      } else {
        SwiGLU.forward(a.gate, up: a.up, into: a.inner, kind: activation, on: compute)
      }
    }
    if needs.isOutputReached {
      output.backward(
        dh, input: a.inner, into: a.dInner, adding: false, isNeeded: needs.isInnerNeeded, pass)
    }
    guard needs.isInnerNeeded else { return }
    // Gate and up, read here for the last time, become their gradients.
    if let kept = a.kept {
      SwiGLU.backward(a.dInner, kept, into: a.gate, a.up, kind: activation, on: compute)
    } else {
      SwiGLU.backward(
        a.dInner, gate: a.gate, up: a.up, into: a.gate, a.up, kind: activation, on: compute)
    }
    first.backward(
      a.both ?? a.gate, input: m, into: dm, adding: false, isNeeded: needs.isNormNeeded, pass)
    up?.backward(a.up, input: m, into: dm, adding: true, isNeeded: needs.isNormNeeded, pass)
  }

  private struct Activations {
    let both: MatrixView?  // [tokens, 2 · intermediate] where one projection makes gate and up
    let gate: MatrixView  // [tokens, intermediate]; in scratch where `kept` has it
    let up: MatrixView  // [tokens, intermediate]; in scratch where `kept` has it
    let kept: SwiGLU.Kept?  // gate and up rounded; nil where they are kept as they are
    let inner: MatrixView  // [tokens, intermediate], scratch
    let dInner: MatrixView  // [tokens, intermediate], scratch
  }

  private func activations(_ pass: Pass) -> Activations {
    guard let slots, let memory else { preconditionFailure("no workspace was prepared") }
    let (inner, dInner) = (
      memory.view(memory.scratch.inner, pass), memory.view(memory.scratch.dInner, pass)
    )
    if let both = slots.both {
      let result = memory.workspace.view(both, rows: pass.rowCount)
      return Activations(
        both: result, gate: result.columns(0..<columns),
        up: result.columns(columns..<(2 * columns)), kept: nil, inner: inner, dInner: dInner)
    }
    // Backward's gradient of the inner activation and that activation have no use yet while gate and
    // up are there, nor after their gradients are.
    var (gateScratch, upScratch) = (dInner, inner)
    let both = isFused ? memory.view(memory.scratch.gateAndUp, pass) : nil
    if let both {
      gateScratch = both.columns(0..<columns)
      upScratch = both.columns(columns..<(2 * columns))
    }
    let gate = slots.gate.view(memory, pass, scratch: gateScratch)
    let up = slots.up.view(memory, pass, scratch: upScratch)
    var kept: SwiGLU.Kept?
    if let keptGate = gate.kept, let keptUp = up.kept {
      kept = SwiGLU.Kept(gate: keptGate, up: keptUp)
    }
    return Activations(
      both: both, gate: gate.exact, up: up.exact, kept: kept, inner: inner, dInner: dInner)
  }
}

/// A feed-forward network of two projections: `contract(f(expand(n)))`.
final class PlainFeedForward: HalfBody {
  let inputs: [LinearLayer]
  private let expand: LinearLayer
  let output: LinearLayer
  private let activation: ActivationFunction
  private var slot: InnerSlot?
  private var memory: BlockMemory?

  init(expand: LinearLayer, contract: LinearLayer, activation: ActivationFunction) {
    self.expand = expand
    inputs = [expand]
    output = contract
    self.activation = activation
  }

  var part: StepPart { .feedForward }
  var last: LinearLayer? { output }
  var innerNorms: [NormLayer] { [] }
  var innerTrains: Bool { expand.trains }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    slot = InnerSlot(
      &plan, "block.inner", rows: rows, columns: expand.outputSize,
      isRounded: isTraining && expand.isRounding)
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func forward(_ m: MatrixView, into h: MatrixView, _ pass: Pass) {
    let a = activations(pass)
    expand.forward(m, into: a.expanded, pass)
    if let kept = a.kept {
      Activation.forward(activation, a.expanded, into: a.inner, keeping: kept, on: pass.compute)
    } else {
      Activation.forward(activation, a.expanded, into: a.inner, on: pass.compute)
    }
    output.forward(a.inner, into: h, pass)
  }

  func backward(
    _ dh: MatrixView, input m: MatrixView, into dm: MatrixView, _ needs: HalfNeeds, _ pass: Pass
  ) {
    let (a, compute) = (activations(pass), pass.compute)
    if output.readsInput {
      if let kept = a.kept {
        Activation.forward(activation, kept, into: a.inner, on: compute)
      } else {
        Activation.forward(activation, a.expanded, into: a.inner, on: compute)
      }
    }
    if needs.isOutputReached {
      output.backward(
        dh, input: a.inner, into: a.dInner, adding: false, isNeeded: needs.isInnerNeeded, pass)
    }
    guard needs.isInnerNeeded else { return }
    if let kept = a.kept {
      Activation.backward(activation, a.dInner, input: kept, into: a.dInner, on: compute)
    } else {
      Activation.backward(activation, a.dInner, input: a.expanded, into: a.dInner, on: compute)
    }
    expand.backward(
      a.dInner, input: m, into: dm, adding: false, isNeeded: needs.isNormNeeded, pass)
  }

  private struct Activations {
    let expanded: MatrixView  // [tokens, intermediate]; in `inner` where `kept` has it
    let kept: RoundedView?  // `expanded` rounded; nil where it is kept as it is
    let inner: MatrixView  // [tokens, intermediate], scratch
    let dInner: MatrixView  // [tokens, intermediate], scratch
  }

  private func activations(_ pass: Pass) -> Activations {
    guard let slot, let memory else { preconditionFailure("no workspace was prepared") }
    let inner = memory.view(memory.scratch.inner, pass)
    // The function is computed in place where what goes in is kept rounded.
    let expanded = slot.view(memory, pass, scratch: inner)
    return Activations(
      expanded: expanded.exact, kept: expanded.kept, inner: inner,
      dInner: memory.view(memory.scratch.dInner, pass))
  }
}

/// Where an inner activation lies that backward reads again: as it is, or rounded to bf16.
private struct InnerSlot {
  private let slot: WorkspaceSlot
  private let columns: Int
  private let isRounded: Bool

  init(
    _ plan: inout WorkspacePlan, _ name: String, rows: Int, columns: Int, isRounded: Bool
  ) {
    self.columns = columns
    self.isRounded = isRounded
    slot = plan.reserve(
      name, rows: rows, columns: isRounded ? RoundedView.floatColumns(columns) : columns)
  }

  /// - Parameter scratch: [tokens, columns], where the numbers as they are go if kept rounded.
  func view(
    _ memory: BlockMemory, _ pass: Pass, scratch: MatrixView
  ) -> (exact: MatrixView, kept: RoundedView?) {
    let view = memory.workspace.view(slot, rows: pass.rowCount)
    return isRounded ? (scratch, RoundedView(view, columns: columns)) : (view, nil)
  }
}
