import Diagnostics
import Kernels
import Tensors

/// A tensor that transformers has in one piece, or in a module that is no projection, by the
/// projections that it is here.
public struct StackedParameter {
  /// The module that has it: `model.layers.0.mlp.experts`.
  public let module: String
  /// Its name there: `gate_up_proj`.
  public let name: String
  /// What it consists of: for each expert the projections whose results lie side by side.
  public let parts: [[LinearLayer]]

  /// Its full name.
  public var path: String { "\(module).\(name)" }
}

/// Feed-forward networks of which each token takes some, with weights.
///
///     y = Σ_j w_j down_j(f(gate_j(n)) ⊙ up_j(n))         w = the chosen of softmax(router(n))
///
/// Only what was chosen is multiplied: an expert's tokens are gathered, projected together, and its
/// results added to theirs, expert after expert in ascending order, whatever the number of threads.
/// The weight is a factor of what `down` reads, which has no bias: its gradient is then a dot product
/// with the gradient there, and no expert's result needs to be kept.
final class ExpertFeedForward: HalfBody {
  /// One network.
  struct Expert {
    let gate, up, down: LinearLayer

    var layers: [LinearLayer] { [gate, up, down] }
  }

  let inputs: [LinearLayer] = []
  let last: LinearLayer? = nil
  let inside: [LinearLayer]
  let stacked: [StackedParameter]
  private let router: LinearLayer
  private let experts: [Expert]
  private let configuration: ExpertConfiguration
  private let activation: ActivationFunction
  private var slots: Slots?
  private var indices = IndexBuffer(count: 0)
  private var memory: BlockMemory?
  private var lastTokenCount = 0

  private struct Slots {
    let probabilities: WorkspaceSlot  // [tokens, experts]
    let weights, dWeights: WorkspaceSlot  // [choices, 1]
    let gate, up: WorkspaceSlot  // [choices, intermediate]
  }

  /// - Parameter path: of the module.
  init(
    path: String, router: LinearLayer, experts: [Expert], _ configuration: ExpertConfiguration,
    activation: ActivationFunction
  ) {
    self.router = router
    self.experts = experts
    self.configuration = configuration
    self.activation = activation
    inside = [router] + experts.flatMap(\.layers)
    stacked = [
      StackedParameter(
        module: path + ".experts", name: "gate_up_proj", parts: experts.map { [$0.gate, $0.up] }),
      StackedParameter(
        module: path + ".experts", name: "down_proj", parts: experts.map { [$0.down] }),
      StackedParameter(module: path + ".gate", name: "weight", parts: [[router]]),
    ]
  }

  var part: StepPart { .feedForward }
  var innerNorms: [NormLayer] { [] }
  var innerTrains: Bool { inside.contains { $0.trains } }
  var readsInput: Bool {
    router.readsInput || experts.contains { $0.gate.readsInput || $0.up.readsInput }
  }

  private var chosen: Int { configuration.countPerToken }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    let (choices, width) = (rows * chosen, configuration.intermediateSize)
    slots = Slots(
      probabilities: plan.reserve("block.routing", rows: rows, columns: experts.count),
      weights: plan.reserve("block.expertWeights", rows: choices, columns: 1),
      dWeights: plan.reserve(
        "block.expertWeights", rows: isTraining ? choices : 0, columns: 1),
      gate: plan.reserve("block.gate", rows: choices, columns: width),
      up: plan.reserve("block.up", rows: choices, columns: width))
    router.reserveSaved(&plan, rows: rows)
    // All tokens may choose one expert: its rows are somewhere among all choices.
    for kind in [\Expert.gate, \.up, \.down] {
      let columns = experts.first.map { $0[keyPath: kind].savedColumns } ?? 0
      guard columns > 0 else { continue }
      let slot = plan.reserve("hook.saved", rows: choices, columns: columns)
      for expert in experts { expert[keyPath: kind].share(slot) }
    }
    indices = IndexBuffer(
      count: ExpertAssignment.indexCount(tokens: rows, chosen: chosen, experts: experts.count))
  }

  func use(_ memory: BlockMemory) { self.memory = memory }

  func forward(_ n: MatrixView, into h: MatrixView, _ pass: Pass) {
    let (a, compute) = (activations(pass), pass.compute)
    lastTokenCount = pass.rowCount
    router.forward(n, into: a.probabilities, pass)
    ExpertRouting.forward(
      a.probabilities, choosing: chosen, normalizing: configuration.normalizesWeights,
      into: a.assignment, on: compute)
    h.fill(0)
    for (index, expert) in experts.enumerated() {
      let rows = a.assignment.rows(of: index)
      if rows.isEmpty { continue }
      let (tokens, e) = (a.assignment.tokens.slice(rows), expertRows(a, rows))
      Elementwise.gatherRows(n, rows: tokens, into: e.input, on: compute)
      expert.gate.forward(e.input, into: e.gate, pass, savedFrom: rows.lowerBound)
      expert.up.forward(e.input, into: e.up, pass, savedFrom: rows.lowerBound)
      SwiGLU.forward(e.gate, up: e.up, into: e.inner, kind: activation, on: compute)
      Elementwise.scaleRows(e.inner, by: e.weights, into: e.inner, on: compute)
      expert.down.forward(e.inner, into: e.output, pass, savedFrom: rows.lowerBound)
      Elementwise.scatterRows(e.output, rows: tokens, addingTo: h, on: compute)
    }
  }

  /// How many tokens of the last pass each expert took.
  var loads: [Int] {
    let weights = FloatBuffer(count: lastTokenCount * chosen)
    let assignment = ExpertAssignment(
      indices: indices.all, weights: weights.view(rows: weights.count, columns: 1),
      tokens: lastTokenCount, chosen: chosen, experts: experts.count)
    return experts.indices.map { assignment.rows(of: $0).count }
  }

  func backward(
    _ dh: MatrixView, input n: MatrixView, into dn: MatrixView, _ needs: HalfNeeds, _ pass: Pass
  ) {
    guard needs.isInnerNeeded else { return }
    let (a, compute) = (activations(pass), pass.compute)
    let isRouted = isRouterNeeded(needs)
    if needs.isNormNeeded { dn.fill(0) }
    for (index, expert) in experts.enumerated() {
      let rows = a.assignment.rows(of: index)
      if rows.isEmpty { continue }
      let (tokens, e) = (a.assignment.tokens.slice(rows), expertRows(a, rows))
      let first = rows.lowerBound
      Elementwise.gatherRows(dh, rows: tokens, into: e.output, on: compute)
      if expert.down.readsInput {
        SwiGLU.forward(e.kept, into: e.inner, kind: activation, on: compute)
        Elementwise.scaleRows(e.inner, by: e.weights, into: e.inner, on: compute)
      }
      expert.down.backward(
        e.output, input: e.inner, into: e.dInner, adding: false, isNeeded: true, pass,
        savedFrom: first)
      if isRouted {
        SwiGLU.forward(e.kept, into: e.inner, kind: activation, on: compute)
        Elementwise.rowDots(e.dInner, e.inner, into: a.dWeights.rows(rows), on: compute)
      }
      Elementwise.scaleRows(e.dInner, by: e.weights, into: e.dInner, on: compute)
      // Gate and up, read here for the last time, become their gradients.
      SwiGLU.backward(e.dInner, e.kept, into: e.gate, e.up, kind: activation, on: compute)
      if expert.gate.readsInput || expert.up.readsInput {
        Elementwise.gatherRows(n, rows: tokens, into: e.input, on: compute)
      }
      expert.gate.backward(
        e.gate, input: e.input, into: e.output, adding: false, isNeeded: needs.isNormNeeded, pass,
        savedFrom: first)
      expert.up.backward(
        e.up, input: e.input, into: e.output, adding: true, isNeeded: needs.isNormNeeded, pass,
        savedFrom: first)
      if needs.isNormNeeded {
        Elementwise.scatterRows(e.output, rows: tokens, addingTo: dn, on: compute)
      }
    }
    guard isRouted else { return }
    ExpertRouting.backward(
      a.dWeights, a.assignment, choosing: chosen, normalizing: configuration.normalizesWeights,
      probabilities: a.probabilities, on: compute)
    router.backward(
      a.probabilities, input: n, into: dn, adding: true, isNeeded: needs.isNormNeeded, pass)
  }

  func countCore(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds) {
    let below = BackwardExtent(isReached: needs.isInnerNeeded, isNeeded: needs.isNormNeeded)
    router.count(
      into: &arithmetic, part,
      BackwardExtent(isReached: isRouterNeeded(needs), isNeeded: needs.isNormNeeded))
    guard let one = experts.first else { return }
    for _ in 0..<chosen {
      one.down.count(
        into: &arithmetic, part,
        BackwardExtent(isReached: needs.isInnerNeeded, isNeeded: needs.isInnerNeeded))
      one.gate.count(into: &arithmetic, part, below)
      one.up.count(into: &arithmetic, part, below)
    }
    if isRouterNeeded(needs) {
      arithmetic[part, .backward].perRow += chosen * configuration.intermediateSize
    }
  }

  /// Whether the gradient of the weights is needed.
  private func isRouterNeeded(_ needs: HalfNeeds) -> Bool {
    needs.isNormNeeded || (needs.isInnerNeeded && router.trains)
  }

  private struct Activations {
    let probabilities: MatrixView  // [tokens, experts]
    let assignment: ExpertAssignment
    let dWeights: MatrixView  // [choices, 1]
    let gate, up: MatrixView  // [choices, intermediate]
  }

  private func activations(_ pass: Pass) -> Activations {
    guard let slots, let memory else { preconditionFailure("no workspace was prepared") }
    let (tokens, choices) = (pass.rowCount, pass.rowCount * chosen)
    let workspace = memory.workspace
    return Activations(
      probabilities: workspace.view(slots.probabilities, rows: tokens),
      assignment: ExpertAssignment(
        indices: indices.all, weights: workspace.view(slots.weights, rows: choices),
        tokens: tokens, chosen: chosen, experts: experts.count),
      dWeights: slots.dWeights.rows == 0 ? .empty : workspace.view(slots.dWeights, rows: choices),
      gate: workspace.view(slots.gate, rows: choices), up: workspace.view(slots.up, rows: choices))
  }

  /// The rows of one expert.
  private struct ExpertRows {
    let weights: MatrixView  // [rows, 1]
    let gate, up: MatrixView  // [rows, intermediate]
    let input, output: MatrixView  // [rows, hidden], scratch
    let inner, dInner: MatrixView  // [rows, intermediate], scratch

    var kept: SwiGLU.Kept { .exact(gate: gate, up: up) }
  }

  private func expertRows(_ a: Activations, _ rows: Range<Int>) -> ExpertRows {
    guard let memory else { preconditionFailure("no workspace was prepared") }
    let (workspace, scratch) = (memory.workspace, memory.scratch)
    let width = configuration.intermediateSize
    func inner(_ slot: WorkspaceSlot) -> MatrixView {
      slot.rows == 0 ? .empty : workspace.view(slot, rows: rows.count, columns: width)
    }
    return ExpertRows(
      weights: a.assignment.weights.rows(rows), gate: a.gate.rows(rows), up: a.up.rows(rows),
      input: workspace.view(scratch.expertInput, rows: rows.count),
      output: workspace.view(scratch.expertOutput, rows: rows.count),
      inner: inner(scratch.inner), dInner: inner(scratch.dInner))
  }
}
