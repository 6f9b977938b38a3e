import Kernels
import Model
import Tensors

/// Memory that all projections with `bat` share, one after the other.
final class BatMemory {
  private let weight: OwnedMatrix
  private let change: OwnedMatrix

  /// - Parameter count: elements of the largest weight.
  /// - Parameter isPlanned: whether it only counts.
  init(_ count: Int, isPlanned: Bool) {
    weight = OwnedMatrix(rows: 1, columns: count, isPlanned: isPlanned)
    change = OwnedMatrix(rows: 1, columns: count, isPlanned: isPlanned)
  }

  /// Bytes of both.
  var byteCount: Int { weight.byteCount + change.byteCount }

  /// Two matrices [out, in] of a projection.
  func matrices(of layer: LinearLayer) -> (weight: MatrixView, change: MatrixView) {
    let (rows, columns) = (layer.outputSize, layer.inputSize)
    let range = 0..<(rows * columns)
    return (
      weight.view.columns(range).reshaped(rows: rows, columns: columns),
      change.view.columns(range).reshaped(rows: rows, columns: columns)
    )
  }
}

/// MiSS's variant `bat` at one projection: every shard of outputs turns its weights.
///
///     D_ij = W_ij B_i + B_i       W_ij [r, r] of the frozen weight, B_i [r, r]
///     y = base(x) + x Dᵀ
///
/// and backwards, with `dy` the gradient of `y`,
///
///     dD = dyᵀ x      dB_i += Σ_j (W_ijᵀ + I) dD_ij      dx += dy D
///
/// D and dD are as large as the weight and are made in every call: r·in·out multiply-adds each, and
/// dD a token's in·out besides, as for a trained weight.
final class BatLinear: LinearHook {
  private let matrix: TrainedMatrix  // [out, r]: B_i end to end
  private let memory: BatMemory
  private let r: Int

  init(_ matrix: TrainedMatrix, memory: BatMemory) {
    self.matrix = matrix
    self.memory = memory
    r = matrix.values.columns
  }

  var savedColumns: Int { 0 }
  var readsInput: Bool { true }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    // What does not grow with the tokens is left out.
    let product = layer.inputSize * layer.outputSize
    return HookArithmetic(
      forward: product, backward: product + (isInputGradientNeeded ? product : 0))
  }

  /// D of a weight [out, in].
  static func change(
    of weight: MatrixView, by b: MatrixView, into change: MatrixView, on compute: Compute
  ) {
    let r = b.columns
    for start in stride(from: 0, to: b.rows, by: r) {
      let block = b.rows(start..<(start + r))
      Product.multiply(
        shards(of: weight, start, r), by: block, into: shards(of: change, start, r), on: compute)
      for column in stride(from: 0, to: weight.columns, by: r) {
        Elementwise.add(
          block, addingTo: change.rows(start..<(start + r)).columns(column..<(column + r)),
          on: compute)
      }
    }
  }

  /// Rows start ..< start + r of a weight as [r · in/r, r].
  private static func shards(of weight: MatrixView, _ start: Int, _ r: Int) -> MatrixView {
    weight.rows(start..<(start + r)).reshaped(rows: weight.columns, columns: r)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    let (weight, change) = memory.matrices(of: pass.layer)
    pass.layer.weight.matrix.copyFloats(into: weight)
    Self.change(of: weight, by: matrix.values, into: change, on: pass.compute)
    Product.multiply(x, by: change, transposed: true, into: y, adding: true, on: pass.compute)
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (weight, change) = memory.matrices(of: pass.layer)
    pass.layer.weight.matrix.copyFloats(into: weight)
    Product.multiply(dy, transposed: true, by: x, into: change, on: pass.compute)
    for start in stride(from: 0, to: weight.rows, by: r) {
      let gradient = matrix.gradient.rows(start..<(start + r))
      Product.multiply(
        Self.shards(of: weight, start, r), transposed: true,
        by: Self.shards(of: change, start, r), into: gradient, adding: true, on: pass.compute)
      for column in stride(from: 0, to: weight.columns, by: r) {
        Elementwise.add(
          change.rows(start..<(start + r)).columns(column..<(column + r)), addingTo: gradient,
          on: pass.compute)
      }
    }
  }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    guard let dx else { return }
    let (weight, change) = memory.matrices(of: pass.layer)
    Self.change(of: weight, by: matrix.values, into: change, on: pass.compute)
    Product.multiply(dy, by: change, into: dx, adding: true, on: pass.compute)
  }
}
