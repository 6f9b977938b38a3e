import CKernels
import Tensors

/// A linear layer: `y = x Wᵀ + b`, its gradients, and nothing that is not needed of them.
///
/// T tokens, I = `weight.inputSize`, O = `weight.outputSize`. The weight lies in its file or in the
/// parameter arena, in either layout, in f32, f16, bf16 or blocks, at any address; it is widened
/// tile by tile (`WeightProduct`). The result is the same to the last bit for any number of threads
/// and rows, and in f32 on every instruction set.
public enum Linear {
  /// Computes `y (+)= x Wᵀ + b`, and a low-rank term besides.
  ///
  /// - Parameters:
  ///   - x: input, [T, I].
  ///   - weight: W, I features to O, in either layout.
  ///   - bias: [1, O].
  ///   - y: output, [T, O]; must not overlap x.
  ///   - adding: whether to add to y instead of overwriting it.
  ///   - arithmetic: that of the product; the bias and the term are always added in f32.
  ///   - term: of shape [T, O].
  ///   - compute: the threads that compute it.
  public static func forward(
    _ x: MatrixView, weight: WeightMatrix, bias: MatrixView?, into y: MatrixView,
    adding: Bool = false, arithmetic: Arithmetic = .float32, term: LowRankTerm? = nil,
    on compute: Compute
  ) {
    precondition(
      x.columns == weight.inputSize && y.columns == weight.outputSize && x.rows == y.rows,
      """
      x is [\(x.rows), \(x.columns)] and y [\(y.rows), \(y.columns)]; the weight carries \
      \(weight.inputSize) features to \(weight.outputSize)
      """)
    if let bias { requireVector(bias, weight.outputSize, "bias") }
    WeightProduct(forward: weight, arithmetic: arithmetic)
      .multiply(x, bias: bias, into: y, adding: adding, term: term, on: compute)
  }

  /// Computes `dx (+)= dy W`, and a low-rank term besides.
  ///
  /// - Parameters:
  ///   - dy: gradient of the output, [T, O].
  ///   - weight: W, I features to O, in either layout.
  ///   - dx: gradient of the input, [T, I]; must not overlap dy.
  ///   - adding: whether to add to dx instead of overwriting it.
  ///   - arithmetic: that of the product; the term is always added in f32.
  ///   - term: of shape [T, I].
  ///   - compute: the threads that compute it.
  public static func backwardInput(
    _ dy: MatrixView, weight: WeightMatrix, into dx: MatrixView, adding: Bool = false,
    arithmetic: Arithmetic = .float32, term: LowRankTerm? = nil, on compute: Compute
  ) {
    precondition(
      dy.columns == weight.outputSize && dx.columns == weight.inputSize && dy.rows == dx.rows,
      """
      dy is [\(dy.rows), \(dy.columns)] and dx [\(dx.rows), \(dx.columns)]; the weight carries \
      \(weight.inputSize) features to \(weight.outputSize)
      """)
    WeightProduct(backward: weight, arithmetic: arithmetic)
      .multiply(dy, bias: nil, into: dx, adding: adding, term: term, on: compute)
  }

  /// Computes `dW += dyᵀ x`, in the layout in which the weight is stored.
  ///
  /// - Parameters:
  ///   - dy: gradient of the output, [T, O].
  ///   - x: the layer's input, [T, I].
  ///   - dWeight: [O, I], or [I, O] for `.inputMajor`.
  ///   - layout: how dWeight is stored.
  ///   - compute: the threads that compute it.
  public static func backwardWeight(
    _ dy: MatrixView, input x: MatrixView, addingTo dWeight: MatrixView,
    layout: WeightMatrix.Layout, on compute: Compute
  ) {
    switch layout {
    case .outputMajor:
      Product.multiply(dy, transposed: true, by: x, into: dWeight, adding: true, on: compute)
    case .inputMajor:
      Product.multiply(x, transposed: true, by: dy, into: dWeight, adding: true, on: compute)
    }
  }

  /// Adds to `dBias` the sum of dy over the tokens.
  ///
  /// - Parameters:
  ///   - dy: gradient of the output, [T, O].
  ///   - dBias: [1, O].
  ///   - compute: the threads that compute it.
  public static func backwardBias(
    _ dy: MatrixView, addingTo dBias: MatrixView, on compute: Compute
  ) {
    requireVector(dBias, dy.columns, "dBias")
    compute.forEachBlock(blockCount(dy.columns, 64)) { block, _ in
      let columns = blockRange(block, 64, dy.columns)
      compute.kernels.pointee.linear.add_column_sums(
        dBias.base + columns.lowerBound, dy.base + columns.lowerBound, Int64(dy.rowStride),
        Int64(dy.rows), Int64(columns.count))
    }
  }
}

/// A vector's shape is [1, count].
func requireVector(_ vector: MatrixView, _ count: Int, _ name: StaticString) {
  precondition(
    vector.rows == 1 && vector.columns == count,
    "\(name) is [\(vector.rows), \(vector.columns)], expected [1, \(count)]")
}
