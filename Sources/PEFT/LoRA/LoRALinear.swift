import Kernels
import Model
import Tensors

/// The tensors of one adapted projection, with their gradients.
struct LoRATensors {
  let a: TrainedMatrix  // [R, in]
  let b: TrainedMatrix  // [out, R]
  let bias: TrainedMatrix?  // [1, out]
}

/// A trainable matrix: its values and where its gradient is summed.
struct TrainedMatrix {
  let values: MatrixView
  let gradient: MatrixView

  init(_ slot: ParameterSlot, in arena: ParameterArena) {
    values = arena.values(slot)
    gradient = arena.gradients(slot)
  }
}

/// LoRA at one projection.
///
///     u = dropout(x) Aᵀ          [tokens, R], kept
///     y = base(x) + s·(u Bᵀ + b)
///
/// and backwards, with `dy` the gradient of `y`,
///
///     du = s·dy B     dB += s·dyᵀ u     db += s·Σ dy     dA += duᵀ dropout(x)
///     dx += dropout'(du A)
///
/// The dropped input is not kept: its mask is a function of the place and is drawn again.
final class LoRALinear: LinearHook {
  private let tensors: LoRATensors
  private let scaling: Float
  private let dropout: Float
  private let inputSize: Int
  private let rank: Int

  init(tensors: LoRATensors, scaling: Double, dropout: Double) {
    self.tensors = tensors
    self.scaling = Float(scaling)
    self.dropout = Float(dropout)
    rank = tensors.a.values.rows
    inputSize = tensors.a.values.columns
  }

  var savedColumns: Int { rank }
  var scratchColumns: Int { rank + (dropout > 0 ? inputSize : 0) }
  var readsInput: Bool { true }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    let (a, b) = (rank * layer.inputSize, rank * layer.outputSize)
    let input = isInputGradientNeeded ? a : 0
    // Dropped out again, the input's gradient is no term.
    return HookArithmetic(
      forward: a, backward: 2 * b + a + (dropout > 0 ? input : 0), outputTerm: b,
      inputTerm: dropout > 0 ? 0 : input)
  }

  func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm? {
    let u = pass.saved
    Product.multiply(
      droppedInput(x, pass), by: tensors.a.values, transposed: true, into: u, on: pass.compute)
    return LowRankTerm(u, by: tensors.b.values, transposed: true, scale: scaling)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    if let bias = tensors.bias {
      RowBias.forward(bias.values, scale: scaling, addingTo: y, on: pass.compute)
    }
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (u, du) = (pass.saved, branchGradient(pass))
    Product.multiply(dy, by: tensors.b.values, into: du, scale: scaling, on: pass.compute)
    Product.multiply(
      dy, transposed: true, by: u, into: tensors.b.gradient, scale: scaling, adding: true,
      on: pass.compute)
    if let bias = tensors.bias {
      RowBias.backward(dy, scale: scaling, addingTo: bias.gradient, on: pass.compute)
    }
    Product.multiply(
      du, transposed: true, by: droppedInput(x, pass), into: tensors.a.gradient, adding: true,
      on: pass.compute)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? {
    isDropping(pass) ? nil : LowRankTerm(branchGradient(pass), by: tensors.a.values)
  }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    guard let dx, isDropping(pass) else { return }
    let branch = inputScratch(pass)
    Product.multiply(branchGradient(pass), by: tensors.a.values, into: branch, on: pass.compute)
    Elementwise.dropout(
      branch, into: branch, probability: dropout, random: pass.random, on: pass.compute)
    Elementwise.add(branch, addingTo: dx, on: pass.compute)
  }

  private func isDropping(_ pass: LinearPass) -> Bool { dropout > 0 && pass.isTraining }

  private func droppedInput(_ x: MatrixView, _ pass: LinearPass) -> MatrixView {
    guard isDropping(pass) else { return x }
    let dropped = inputScratch(pass)
    Elementwise.dropout(
      x, into: dropped, probability: dropout, random: pass.random, on: pass.compute)
    return dropped
  }

  /// The branch's gradient, [tokens, R], at the front of the scratch.
  private func branchGradient(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(columns: rank)
  }

  /// Memory of the input's size, behind it.
  private func inputScratch(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(after: rank, columns: inputSize)
  }
}
