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
        ? plan.reserveOperand("block.gateAndUp", rows: rows, columns: 2 * columns) : nil)
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func forward(_ m: MatrixView, into h: MatrixView, _ pass: Pass) {
    let a = activations(pass)
    first.forward(m, into: a.both ?? a.gate, pass)
    up?.forward(m, into: a.up, pass)
    SwiGLU.forward(
      a.gate, up: a.up, into: a.inner, keeping: a.kept, kind: activation, on: pass.compute)
    output.forward(a.inner, into: h, pass)
  }

  func backward(
    _ dh: MatrixView, input m: MatrixView, into dm: MatrixView, _ needs: HalfNeeds, _ pass: Pass
  ) {
    let (a, compute) = (activations(pass), pass.compute)
    if output.readsInput {
      SwiGLU.forward(a.kept, into: a.inner, kind: activation, on: compute)
    }
    if needs.isOutputReached {
      output.backward(
        dh, input: a.inner, into: a.dInner, adding: false, isNeeded: needs.isInnerNeeded, pass)
    }
    guard needs.isInnerNeeded else { return }
    // Gate and up, read here for the last time, become their gradients.
    SwiGLU.backward(a.dInner, a.kept, into: a.gate, a.up, kind: activation, on: compute)
    first.backward(
      a.both ?? a.gate, input: m, into: dm, adding: false, isNeeded: needs.isNormNeeded, pass)
    up?.backward(a.up, input: m, into: dm, adding: true, isNeeded: needs.isNormNeeded, pass)
  }

  private struct Activations {
    let both: MatrixView?  // [tokens, 2 · intermediate] where one projection makes gate and up
    let gate: MatrixView  // [tokens, intermediate]; in scratch where it is kept rounded
    let up: MatrixView  // [tokens, intermediate]; in scratch where it is kept rounded
    let kept: SwiGLU.Kept
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
      let (gate, up) = (result.columns(0..<columns), result.columns(columns..<(2 * columns)))
      return Activations(
        both: result, gate: gate, up: up, kept: .exact(gate: gate, up: up), inner: inner,
        dInner: dInner)
    }
    // Backward's gradient of the inner activation and that activation have no use yet while gate and
    // up are there, nor after their gradients are.
    var (gateScratch, upScratch) = (dInner, inner)
    let both = isFused ? memory.view(memory.scratch.gateAndUp, pass) : nil
    if let both {
      gateScratch = both.columns(0..<columns)
      upScratch = both.columns(columns..<(2 * columns))
    }
    let (gate, keptGate) = slots.gate.view(memory, pass, scratch: gateScratch)
    let (up, keptUp) = slots.up.view(memory, pass, scratch: upScratch)
    let kept: SwiGLU.Kept =
      if case (.rounded(let gate), .rounded(let up)) = (keptGate, keptUp) {
        .rounded(gate: gate, up: up)
      } else { .exact(gate: gate, up: up) }
    return Activations(both: both, gate: gate, up: up, kept: kept, inner: inner, dInner: dInner)
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
    Activation.forward(
      activation, a.expanded, into: a.inner, keeping: a.kept, on: pass.compute)
    output.forward(a.inner, into: h, pass)
  }

  func backward(
    _ dh: MatrixView, input m: MatrixView, into dm: MatrixView, _ needs: HalfNeeds, _ pass: Pass
  ) {
    let (a, compute) = (activations(pass), pass.compute)
    if output.readsInput {
      Activation.forward(activation, a.kept, into: a.inner, on: compute)
    }
    if needs.isOutputReached {
      output.backward(
        dh, input: a.inner, into: a.dInner, adding: false, isNeeded: needs.isInnerNeeded, pass)
    }
    guard needs.isInnerNeeded else { return }
    Activation.backward(activation, a.dInner, input: a.kept, into: a.dInner, on: compute)
    expand.backward(
      a.dInner, input: m, into: dm, adding: false, isNeeded: needs.isNormNeeded, pass)
  }

  private struct Activations {
    let expanded: MatrixView  // [tokens, intermediate]; in `inner` where it is kept rounded
    let kept: Activation.Kept
    let inner: MatrixView  // [tokens, intermediate], scratch
    let dInner: MatrixView  // [tokens, intermediate], scratch
  }

  private func activations(_ pass: Pass) -> Activations {
    guard let slot, let memory else { preconditionFailure("no workspace was prepared") }
    let inner = memory.view(memory.scratch.inner, pass)
    // The function is computed in place where what goes in is kept rounded.
    let (expanded, kept) = slot.view(memory, pass, scratch: inner)
    return Activations(
      expanded: expanded, kept: kept, inner: inner,
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
    slot =
      isRounded
      ? plan.reserve(name, rows: rows, columns: RoundedView.floatColumns(columns))
      : plan.reserveOperand(name, rows: rows, columns: columns)
  }

  /// Where the numbers as they are go, and what is kept of them, [tokens, columns] each.
  ///
  /// - Parameter scratch: where they go if kept rounded.
  func view(
    _ memory: BlockMemory, _ pass: Pass, scratch: MatrixView
  ) -> (MatrixView, Activation.Kept) {
    let view = memory.workspace.view(slot, rows: pass.rowCount)
    return isRounded
      ? (scratch, .rounded(RoundedView(view, columns: columns))) : (view, .exact(view))
  }
}
