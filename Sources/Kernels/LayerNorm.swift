import CKernels
import Tensors

// T rows, H columns.

/// Layer normalisation: `y = (x - mean) / √(variance + ε) ⊙ weight + bias`, over each row.
///
/// Ba, Kiros, Hinton, "Layer Normalization", 2016. The variance is the mean of squares, not the
/// unbiased estimate.
public enum LayerNorm {
  /// Normalises every row of `x`.
  ///
  /// - Parameters:
  ///   - x: input, [T, H].
  ///   - weight: factors, [1, H].
  ///   - bias: offsets, [1, H].
  ///   - epsilon: added to the variance.
  ///   - y: result, [T, H]; may be `x`.
  ///   - mean: of each row, [T, 1], which backward needs.
  ///   - inverseDeviation: `1 / √(variance + ε)` of each row, [T, 1], which backward needs.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ x: MatrixView, weight: MatrixView, bias: MatrixView, epsilon: Float, into y: MatrixView,
    mean: MatrixView, inverseDeviation: MatrixView, on compute: Compute
  ) {
    requireShape(weight, 1, x.columns, "weight")
    requireShape(bias, 1, x.columns, "bias")
    requireShape(y, x.rows, x.columns, "y")
    requireShape(mean, x.rows, 1, "mean")
    requireShape(inverseDeviation, x.rows, 1, "inverseDeviation")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.norm.layer(
        x.from(t), weight.base, bias.base, epsilon, y.from(t), mean.from(t),
        inverseDeviation.from(t), rows.count, x.columns)
    }
  }

  /// The gradient of the input, and of weight and bias where they train.
  ///
  /// - Parameters:
  ///   - dy: gradient of the result, [T, H].
  ///   - x: input of forward, [T, H].
  ///   - weight: factors, [1, H].
  ///   - mean: what forward kept, [T, 1].
  ///   - inverseDeviation: what forward kept, [T, 1].
  ///   - dx: gradient of the input, [T, H]; may be `dy`.
  ///   - adding: whether `dx` is added to.
  ///   - dWeight: added to, [1, H]; `nil` where the weight is frozen.
  ///   - dBias: added to, [1, H]; `nil` where the bias is frozen.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dy: MatrixView, input x: MatrixView, weight: MatrixView, mean: MatrixView,
    inverseDeviation: MatrixView, into dx: MatrixView, adding: Bool = false,
    dWeight: MatrixView?, dBias: MatrixView?, on compute: Compute
  ) {
    requireShape(dy, x.rows, x.columns, "dy")
    requireShape(dx, x.rows, x.columns, "dx")
    requireShape(weight, 1, x.columns, "weight")
    requireShape(mean, x.rows, 1, "mean")
    requireShape(inverseDeviation, x.rows, 1, "inverseDeviation")
    // First, since dx may be dy.
    if let dWeight {
      ColumnSums.add(
        of: dy, times: x, mean: mean, factor: inverseDeviation, to: dWeight, on: compute)
    }
    if let dBias { ColumnSums.add(of: dy, to: dBias, on: compute) }
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.norm.layer_backward(
        dy.from(t), x.from(t), weight.base, mean.from(t), inverseDeviation.from(t), dx.from(t),
        adding ? 1 : 0, rows.count, x.columns)
    }
  }
}
