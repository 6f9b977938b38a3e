import Kernels
import Model
import Tensors

/// AdaLoRA at one projection: a low-rank branch in the form of a singular value decomposition.
///
///     u = dropout(x) Aᵀ       [tokens, R], kept
///     y = base(x) + s·(u ⊙ e) Bᵀ
///
/// and backwards, with `dy` the gradient of `y`,
///
///     dv = s·dy B    dB += s·dyᵀ (u ⊙ e)    de += Σ dv ⊙ u    du = dv ⊙ e
///     dA += duᵀ dropout(x)                   dx += dropout'(du A)
final class SVDLinear: LinearHook {
  /// The tensors of one projection.
  struct Tensors {
    let a: TrainedMatrix  // [R, in]
    let e: TrainedMatrix  // [R, 1]
    let b: TrainedMatrix  // [out, R]
  }

  private let tensors: Tensors
  private let e: MatrixView  // [1, R]
  private let dE: MatrixView  // [1, R]
  private let scaling: Float
  private let dropout: Float
  private let rank: Int
  private let inputSize: Int

  init(_ tensors: Tensors, scaling: Double, dropout: Double) {
    self.tensors = tensors
    self.scaling = Float(scaling)
    self.dropout = Float(dropout)
    rank = tensors.a.values.rows
    inputSize = tensors.a.values.columns
    e = tensors.e.values.reshaped(rows: 1, columns: rank)
    dE = tensors.e.gradient.reshaped(rows: 1, columns: rank)
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
    let (u, v) = (pass.saved, branch(pass))
    Product.multiply(
      droppedInput(x, pass), by: tensors.a.values, transposed: true, into: u, on: pass.compute)
    Elementwise.scaleColumns(u, by: e, into: v, on: pass.compute)
    return LowRankTerm(v, by: tensors.b.values, transposed: true, scale: scaling)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {}

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (u, dv) = (pass.saved, branch(pass))
    let (v, du) = (dv, dv)
    Elementwise.scaleColumns(u, by: e, into: v, on: pass.compute)
    Product.multiply(
      dy, transposed: true, by: v, into: tensors.b.gradient, scale: scaling, adding: true,
      on: pass.compute)
    Product.multiply(dy, by: tensors.b.values, into: dv, scale: scaling, on: pass.compute)
    Elementwise.addColumnSums(of: dv, times: u, addingTo: dE, on: pass.compute)
    Elementwise.scaleColumns(dv, by: e, into: du, on: pass.compute)
    Product.multiply(
      du, transposed: true, by: droppedInput(x, pass), into: tensors.a.gradient, adding: true,
      on: pass.compute)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? {
    isDropping(pass) ? nil : LowRankTerm(branch(pass), by: tensors.a.values)
  }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    guard let dx, isDropping(pass) else { return }
    let branchInput = inputScratch(pass)
    Product.multiply(branch(pass), by: tensors.a.values, into: branchInput, on: pass.compute)
    Elementwise.dropout(
      branchInput, into: branchInput, probability: dropout, random: pass.random, on: pass.compute)
    Elementwise.add(branchInput, addingTo: dx, on: pass.compute)
  }

  private func isDropping(_ pass: LinearPass) -> Bool { dropout > 0 && pass.isTraining }

  private func droppedInput(_ x: MatrixView, _ pass: LinearPass) -> MatrixView {
    guard isDropping(pass) else { return x }
    let dropped = inputScratch(pass)
    Elementwise.dropout(
      x, into: dropped, probability: dropout, random: pass.random, on: pass.compute)
    return dropped
  }

  /// Rows of the branch, [tokens, R], at the front of the scratch.
  private func branch(_ pass: LinearPass) -> MatrixView { pass.scratchPart(columns: rank) }

  /// Memory of the input's size, behind them.
  private func inputScratch(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(after: rank, columns: inputSize)
  }
}
