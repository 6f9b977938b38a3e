import Kernels
import Model
import Tensors

/// (IA)³ on the output side of a projection: `y = l ⊙ base(x)`.
///
/// Backwards, with `dy` the gradient of `y` and `y₀ = base(x)`, which is kept,
///
///     dl += Σ dy ⊙ y₀      dy₀ = l ⊙ dy
final class IA3Output: LinearHook {
  private let factor: MatrixView  // [1, out]
  private let gradient: MatrixView  // [1, out]

  init(_ tensor: TrainedMatrix) {
    factor = tensor.values.reshaped(rows: 1, columns: tensor.values.count)
    gradient = tensor.gradient.reshaped(rows: 1, columns: tensor.gradient.count)
  }

  var savedColumns: Int { factor.columns }
  var readsInput: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    HookArithmetic()
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    pass.saved.copy(from: y)
    Elementwise.scaleColumns(y, by: factor, into: y, on: pass.compute)
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    Elementwise.addColumnSums(of: dy, times: pass.saved, addingTo: gradient, on: pass.compute)
    Elementwise.scaleColumns(dy, by: factor, into: dy, on: pass.compute)
  }
}

/// (IA)³ on the input side of a projection: `y = base(l ⊙ x)`.
///
/// Backwards, with `dz` the gradient of `z = l ⊙ x`,
///
///     dl += Σ dz ⊙ x      dx = l ⊙ dz
final class IA3Input: LinearHook {
  private let factor: MatrixView  // [1, in]
  private let gradient: MatrixView  // [1, in]

  init(_ tensor: TrainedMatrix) {
    factor = tensor.values
    gradient = tensor.gradient
  }

  var savedColumns: Int { 0 }
  var replacesInput: Bool { true }
  var readsInput: Bool { true }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    HookArithmetic()
  }

  func replaceInput(_ x: MatrixView, into replaced: MatrixView, _ pass: LinearPass) {
    Elementwise.scaleColumns(x, by: factor, into: replaced, on: pass.compute)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {}

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {}

  func backwardReplacedInput(_ dx: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    Elementwise.addColumnSums(of: dx, times: x, addingTo: gradient, on: pass.compute)
    Elementwise.scaleColumns(dx, by: factor, into: dx, on: pass.compute)
  }
}
