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
  private let branch: LowRankBranch

  init(_ tensors: Tensors, scaling: Double, dropout: Double) {
    self.tensors = tensors
    self.scaling = Float(scaling)
    branch = LowRankBranch(tensors.a, dropout: dropout)
    let rank = branch.rank
    e = tensors.e.values.reshaped(rows: 1, columns: rank)
    dE = tensors.e.gradient.reshaped(rows: 1, columns: rank)
  }

  var savedColumns: Int { branch.rank }
  var scratchColumns: Int { branch.scratchColumns }
  var readsInput: Bool { true }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    branch.arithmetic(of: layer, isInputGradientNeeded: isInputGradientNeeded)
  }

  func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm? {
    let (u, v) = (pass.saved, branch.gradient(pass))
    Product.multiply(
      branch.dropout.dropped(x, pass), by: tensors.a.values, transposed: true, into: u,
      on: pass.compute)
    Elementwise.scaleColumns(u, by: e, into: v, on: pass.compute)
    return LowRankTerm(v, by: tensors.b.values, transposed: true, scale: scaling)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {}

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (u, dv) = (pass.saved, branch.gradient(pass))
    let (v, du) = (dv, dv)
    Elementwise.scaleColumns(u, by: e, into: v, on: pass.compute)
    Product.multiply(
      dy, transposed: true, by: v, into: tensors.b.gradient, scale: scaling, adding: true,
      on: pass.compute)
    Product.multiply(dy, by: tensors.b.values, into: dv, scale: scaling, on: pass.compute)
    Elementwise.addColumnSums(of: dv, times: u, addingTo: dE, on: pass.compute)
    Elementwise.scaleColumns(dv, by: e, into: du, on: pass.compute)
    branch.addGradient(of: tensors.a, input: x, pass)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? { branch.inputTerm(pass) }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    if let dx { branch.backwardInput(addingTo: dx, pass) }
  }
}
