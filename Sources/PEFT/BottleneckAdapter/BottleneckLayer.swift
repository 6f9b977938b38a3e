import Kernels
import Model
import Tensors

/// A bottleneck behind one half of a block.
///
///     u = h W_dᵀ + b_d        [tokens, M], kept, as is h
///     r = dropout(f(u) W_uᵀ + b_u)
///     y = h + c·r
///
/// and backwards, with `dy` the gradient of `y`,
///
///     dr = c·dropout'(dy)     db_u += Σ dr     dW_u += drᵀ f(u)
///     du = (dr W_u) ⊙ f'(u)   db_d += Σ du     dW_d += duᵀ h        dh = dy + du W_d
final class BottleneckLayer: SublayerHook {
  /// The tensors of one bottleneck.
  struct Tensors {
    let downWeight: TrainedMatrix  // W_d [M, hidden]
    let downBias: TrainedMatrix  // b_d [M]
    let upWeight: TrainedMatrix  // W_u [hidden, M]
    let upBias: TrainedMatrix  // b_u [hidden]
  }

  private let tensors: Tensors
  private let activation: ActivationFunction
  private let scaling: Float
  private let dropout: Float
  private let hiddenSize: Int
  private let size: Int

  init(
    _ tensors: Tensors, activation: ActivationFunction, scaling: Double, dropout: Double
  ) {
    self.tensors = tensors
    self.activation = activation
    self.scaling = Float(scaling)
    self.dropout = Float(dropout)
    size = tensors.downWeight.values.rows
    hiddenSize = tensors.downWeight.values.columns
  }

  var savedColumns: Int { hiddenSize + size }
  var scratchColumns: Int { size + hiddenSize }
  var arithmetic: HookArithmetic {
    // Two products forward; backward each has a gradient of its weight and one of its input.
    HookArithmetic(forward: 2 * hiddenSize * size, backward: 4 * hiddenSize * size)
  }

  func forward(_ h: MatrixView, _ pass: SublayerPass) {
    let (input, u) = saved(pass)
    let (active, r) = scratch(pass)
    let compute = pass.compute
    input.copy(from: h)
    Product.multiply(h, by: tensors.downWeight.values, transposed: true, into: u, on: compute)
    RowBias.forward(tensors.downBias.values, scale: 1, addingTo: u, on: compute)
    Activation.forward(activation, u, into: active, on: compute)
    Product.multiply(active, by: tensors.upWeight.values, transposed: true, into: r, on: compute)
    RowBias.forward(tensors.upBias.values, scale: 1, addingTo: r, on: compute)
    if isDropping(pass) { drop(r, pass) }
    Elementwise.add(r, addingTo: h, scale: scaling, on: compute)
  }

  func backward(_ dh: MatrixView, _ pass: SublayerPass) {
    let (input, u) = saved(pass)
    let (active, dr) = scratch(pass)
    let compute = pass.compute
    dr.copy(from: dh)
    if isDropping(pass) { drop(dr, pass) }
    if scaling != 1 { Elementwise.scale(dr, by: scaling, on: compute) }
    RowBias.backward(dr, scale: 1, addingTo: tensors.upBias.gradient, on: compute)
    Activation.forward(activation, u, into: active, on: compute)
    Product.multiply(
      dr, transposed: true, by: active, into: tensors.upWeight.gradient, adding: true,
      on: compute)
    // f(u) is not needed any more; its memory takes du.
    let du = active
    Product.multiply(dr, by: tensors.upWeight.values, into: du, on: compute)
    Activation.backward(activation, du, input: .exact(u), into: du, on: compute)
    RowBias.backward(du, scale: 1, addingTo: tensors.downBias.gradient, on: compute)
    Product.multiply(
      du, transposed: true, by: input, into: tensors.downWeight.gradient, adding: true,
      on: compute)
    Product.multiply(du, by: tensors.downWeight.values, into: dh, adding: true, on: compute)
  }

  private func isDropping(_ pass: SublayerPass) -> Bool { dropout > 0 && pass.isTraining }

  /// In place; the gradient meets the mask that forward drew.
  private func drop(_ x: MatrixView, _ pass: SublayerPass) {
    Elementwise.dropout(
      x, into: x, probability: dropout, random: pass.random, on: pass.compute)
  }

  private func saved(_ pass: SublayerPass) -> (input: MatrixView, u: MatrixView) {
    (
      pass.part(of: pass.saved, columns: hiddenSize),
      pass.part(of: pass.saved, after: hiddenSize, columns: size)
    )
  }

  private func scratch(_ pass: SublayerPass) -> (active: MatrixView, r: MatrixView) {
    (pass.scratchPart(columns: size), pass.scratchPart(after: size, columns: hiddenSize))
  }
}
