import Kernels
import Model
import Tensors

/// A stack of bidirectional LSTM layers over the rows of a prompt, as PyTorch's `nn.LSTM`.
///
/// For each direction, over the rows t in its order, with zero state at first,
///
///     [i f g o] = x_t W_ihᵀ + b_ih + h' W_hhᵀ + b_hh       h', c' of the row before
///     i, f, o through σ, g through tanh
///     c = f ⊙ c' + i ⊙ g        h = o ⊙ tanh(c)
///
/// and backwards, in the opposite order, with `dh` from above plus `dG' W_hh` from the row after,
///
///     do = dh ⊙ tanh(c)          dc = dh ⊙ o ⊙ (1 − tanh²(c)) + dc_after ⊙ f_after
///     di = dc ⊙ g    df = dc ⊙ c'    dg = dc ⊙ i      each through its activation's slope: dG
///     dW_ih = dGᵀ x     dW_hh = dGᵀ h'     db_ih = db_hh = Σ dG     dx = dG W_ih
///
/// A layer's result is [P, 2h], forward direction first; it is the next layer's input, with dropout
/// in between. Hochreiter and Schmidhuber 1997; gates in PyTorch's order.
final class BidirectionalLSTM {
  /// One direction of one layer.
  struct Slots {
    let inputWeight, hiddenWeight: ParameterSlot  // [4h, in], [4h, h]
    let inputBias, hiddenBias: ParameterSlot  // [4h]
  }

  private struct Direction {
    let inputWeight, hiddenWeight, inputBias, hiddenBias: TrainedMatrix
    let gates: WorkspaceSlot  // [P, 4h]: i f g o; their gradients in backward
    let cell: WorkspaceSlot  // [P, h]
    let tanhCell: WorkspaceSlot  // [P, h]
    let isReverse: Bool
  }

  private struct Layer {
    let directions: [Direction]
    let output: WorkspaceSlot  // [P, 2h]
    let dropped: WorkspaceSlot  // [P, 2h]: the next layer's input
    let dOutput: WorkspaceSlot  // [P, 2h]
  }

  private let layers: [Layer]
  private let hiddenSize: Int
  private let rowCount: Int
  private let dCell: WorkspaceSlot  // [1, h]
  private let dHidden: WorkspaceSlot  // [1, h]
  private let workspace: Workspace
  private let dropout: Float

  /// Declares the tensors of `layerCount` layers: `PREFIX.weight_ih_l0`, `…_l0_reverse` and so on.
  static func declare(
    _ prefix: String, inputSize: Int, hiddenSize h: Int, layerCount: Int,
    in plan: inout ParameterArenaPlan
  ) -> [Slots] {
    (0..<(2 * layerCount)).map { index in
      let suffix = "l\(index / 2)" + (index % 2 == 1 ? "_reverse" : "")
      let input = index < 2 ? inputSize : 2 * h
      func slot(_ name: String, _ shape: [Int], _ plan: inout ParameterArenaPlan) -> ParameterSlot {
        plan.declare("\(prefix).\(name)_\(suffix)", shape: shape, role: .derived)
      }
      return Slots(
        inputWeight: slot("weight_ih", [4 * h, input], &plan),
        hiddenWeight: slot("weight_hh", [4 * h, h], &plan),
        inputBias: slot("bias_ih", [4 * h], &plan), hiddenBias: slot("bias_hh", [4 * h], &plan))
    }
  }

  /// Draws everything U(±1/√h), as PyTorch does.
  static func initialize(_ slots: [Slots], in arena: ParameterArena, seed: UInt64) {
    for slots in slots {
      let bound = 1 / Double(slots.hiddenWeight.columns).squareRoot()
      for slot in [slots.inputWeight, slots.hiddenWeight, slots.inputBias, slots.hiddenBias] {
        CounterRandom(seed: seed, purpose: slot.name)
          .fillUniform(arena.values(slot), low: -bound, high: bound)
      }
    }
  }

  /// - Parameters:
  ///   - slots: two directions a layer, as `declare` gave them.
  ///   - rows: P.
  ///   - dropout: probability between layers.
  init(_ slots: [Slots], in arena: ParameterArena, rows: Int, dropout: Double) {
    let h = slots.first?.hiddenWeight.columns ?? 0
    hiddenSize = h
    rowCount = rows
    self.dropout = Float(dropout)
    var plan = WorkspacePlan()
    var layers: [Layer] = []
    for index in stride(from: 0, to: slots.count, by: 2) {
      let directions = (0..<2).map { side in
        let slots = slots[index + side]
        return Direction(
          inputWeight: TrainedMatrix(slots.inputWeight, in: arena),
          hiddenWeight: TrainedMatrix(slots.hiddenWeight, in: arena),
          inputBias: TrainedMatrix(slots.inputBias, in: arena),
          hiddenBias: TrainedMatrix(slots.hiddenBias, in: arena),
          gates: plan.reserve("gates", rows: rows, columns: 4 * h),
          cell: plan.reserve("cell", rows: rows, columns: h),
          tanhCell: plan.reserve("tanhCell", rows: rows, columns: h), isReverse: side == 1)
      }
      layers.append(
        Layer(
          directions: directions, output: plan.reserve("output", rows: rows, columns: 2 * h),
          dropped: plan.reserve("dropped", rows: rows, columns: 2 * h),
          dOutput: plan.reserve("dOutput", rows: rows, columns: 2 * h)))
    }
    dCell = plan.reserve("dCell", rows: 1, columns: h)
    dHidden = plan.reserve("dHidden", rows: 1, columns: h)
    self.layers = layers
    workspace = Workspace(plan, isPlanned: arena.isPlanned)
  }

  /// Bytes of gates, states and their gradients.
  var byteCount: Int { workspace.byteCount }

  /// The last layer's result, [P, 2h].
  var output: MatrixView { workspace.view(layers[layers.count - 1].output) }
  /// Where the gradient of the last layer's result goes before `backward`, [P, 2h].
  var dOutput: MatrixView { workspace.view(layers[layers.count - 1].dOutput) }

  // MARK: Forward

  /// Computes `output` from `x` [P, in].
  ///
  /// - Parameter random: draws the masks between layers; nil where dropout does not apply.
  func forward(_ x: MatrixView, random: CounterRandom?, on compute: Compute) {
    for index in layers.indices {
      let input = input(of: index, x)
      if index > 0 { drop(workspace.view(layers[index - 1].output), input, index, random, compute) }
      let output = workspace.view(layers[index].output)
      for direction in layers[index].directions {
        forward(direction, input, into: columns(output, direction), on: compute)
      }
    }
  }

  private func forward(
    _ d: Direction, _ x: MatrixView, into h: MatrixView, on compute: Compute
  ) {
    let gates = workspace.view(d.gates)
    Product.multiply(x, by: d.inputWeight.values, transposed: true, into: gates, on: compute)
    RowBias.forward(d.inputBias.values, scale: 1, addingTo: gates, on: compute)
    RowBias.forward(d.hiddenBias.values, scale: 1, addingTo: gates, on: compute)
    for step in 0..<rowCount {
      let (t, before) = rows(step, d.isReverse)
      if let before {
        Product.multiply(
          h.rows(before..<(before + 1)), by: d.hiddenWeight.values, transposed: true,
          into: gates.rows(t..<(t + 1)), adding: true, on: compute)
      }
      forwardCell(d, t: t, before: before, gates, h)
    }
  }

  private func forwardCell(
    _ d: Direction, t: Int, before: Int?, _ gates: MatrixView, _ h: MatrixView
  ) {
    let (cell, tanhCell, n) = (workspace.view(d.cell), workspace.view(d.tanhCell), hiddenSize)
    for j in 0..<n {
      let i = sigmoid(gates[t, j])
      let f = sigmoid(gates[t, n + j])
      let g = tanh(gates[t, 2 * n + j])
      let o = sigmoid(gates[t, 3 * n + j])
      (gates[t, j], gates[t, n + j], gates[t, 2 * n + j], gates[t, 3 * n + j]) = (i, f, g, o)
      let c = i * g + (before.map { f * cell[$0, j] } ?? 0)
      cell[t, j] = c
      tanhCell[t, j] = tanh(c)
      h[t, j] = o * tanhCell[t, j]
    }
  }

  // MARK: Backward

  /// Writes the gradients of every tensor and `dx` [P, in], given `dOutput`.
  ///
  /// - Parameter random: that of the forward before it.
  func backward(
    input x: MatrixView, into dx: MatrixView, random: CounterRandom?, on compute: Compute
  ) {
    for index in layers.indices.reversed() {
      let layer = layers[index]
      let dInput = index == 0 ? dx : workspace.view(layers[index - 1].dOutput)
      for direction in layer.directions {
        backward(
          direction, input: input(of: index, x),
          h: columns(workspace.view(layer.output), direction),
          dh: columns(workspace.view(layer.dOutput), direction), into: dInput, on: compute)
      }
      if index > 0 { drop(dInput, dInput, index, random, compute) }
    }
  }

  private func backward(
    _ d: Direction, input x: MatrixView, h: MatrixView, dh: MatrixView, into dx: MatrixView,
    on compute: Compute
  ) {
    let (dGates, carried) = (workspace.view(d.gates), workspace.view(dHidden))
    workspace.view(dCell).fill(0)
    carried.fill(0)
    for step in (0..<rowCount).reversed() {
      let (t, before) = rows(step, d.isReverse)
      // From here on the row of the gates holds their gradients.
      backwardCell(d, t: t, before: before, dGates, dh, carried)
      Product.multiply(
        dGates.rows(t..<(t + 1)), by: d.hiddenWeight.values, into: carried, on: compute)
    }
    Product.multiply(
      dGates, transposed: true, by: x, into: d.inputWeight.gradient, on: compute)
    backwardHiddenWeight(d, dGates, h, on: compute)
    let dBias = d.inputBias.gradient
    dBias.fill(0)
    Elementwise.addColumnSums(of: dGates, addingTo: dBias, on: compute)
    d.hiddenBias.gradient.copy(from: dBias)
    Product.multiply(
      dGates, by: d.inputWeight.values, into: dx, adding: d.isReverse, on: compute)
  }

  private func backwardCell(
    _ d: Direction, t: Int, before: Int?, _ gates: MatrixView, _ dh: MatrixView,
    _ carried: MatrixView
  ) {
    let (cell, tanhCell, dCell) = (
      workspace.view(d.cell), workspace.view(d.tanhCell), workspace.view(dCell)
    )
    let n = hiddenSize
    for j in 0..<n {
      let (i, f) = (gates[t, j], gates[t, n + j])
      let (g, o) = (gates[t, 2 * n + j], gates[t, 3 * n + j])
      let dH = dh[t, j] + carried[0, j]
      let tc = tanhCell[t, j]
      let dC = dCell[0, j] + dH * o * (1 - tc * tc)
      gates[t, j] = dC * g * i * (1 - i)
      gates[t, n + j] = before.map { dC * cell[$0, j] * f * (1 - f) } ?? 0
      gates[t, 2 * n + j] = dC * i * (1 - g * g)
      gates[t, 3 * n + j] = dH * tc * o * (1 - o)
      dCell[0, j] = dC * f
    }
  }

  /// Each row's gates against the state of the row before; the first row had none.
  private func backwardHiddenWeight(
    _ d: Direction, _ dGates: MatrixView, _ h: MatrixView, on compute: Compute
  ) {
    let last = rowCount - 1
    let (later, earlier) = d.isReverse ? (0..<last, 1..<rowCount) : (1..<rowCount, 0..<last)
    Product.multiply(
      dGates.rows(later), transposed: true, by: h.rows(earlier), into: d.hiddenWeight.gradient,
      on: compute)
  }

  // MARK: Rows and columns

  /// The row of a step and the row before it in the direction's order.
  private func rows(_ step: Int, _ isReverse: Bool) -> (row: Int, before: Int?) {
    let row = isReverse ? rowCount - 1 - step : step
    return (row, step == 0 ? nil : (isReverse ? row + 1 : row - 1))
  }

  private func columns(_ x: MatrixView, _ d: Direction) -> MatrixView {
    x.columns(d.isReverse ? hiddenSize..<(2 * hiddenSize) : 0..<hiddenSize)
  }

  private func input(of layer: Int, _ x: MatrixView) -> MatrixView {
    layer == 0 ? x : workspace.view(layers[layer - 1].dropped)
  }

  private func drop(
    _ x: MatrixView, _ y: MatrixView, _ layer: Int, _ random: CounterRandom?, _ compute: Compute
  ) {
    let stream = (random ?? CounterRandom(seed: 0)).substream(UInt64(layer))
    Elementwise.dropout(
      x, into: y, probability: random == nil ? 0 : dropout, random: stream, on: compute)
  }

  private func sigmoid(_ x: Float) -> Float { 1 / (1 + Float(PortableMath.exp(Double(-x)))) }

  private func tanh(_ x: Float) -> Float { Float(PortableMath.tanh(Double(x))) }
}
