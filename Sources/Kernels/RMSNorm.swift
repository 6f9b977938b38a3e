import CKernels
import Tensors

// T rows (tokens, or tokens times heads), H columns (features, or the features of a head).

/// Root-mean-square normalisation: `y = x / √(mean(x²) + ε) ⊙ (weight + offset)`, the mean over a row.
///
/// Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. Norms per head (Qwen3) are the
/// same with `x` reshaped to [T · heads, D]. The offset is 0, or 1 where weights are stored as their
/// difference from 1 (Gemma).
public enum RMSNorm {
  /// Normalises every row of `x`.
  ///
  /// - Parameters:
  ///   - x: input, [T, H].
  ///   - weight: factors, [1, H].
  ///   - offset: added to each factor.
  ///   - epsilon: what keeps a row of zeros from dividing by zero.
  ///   - y: result, [T, H]; may be `x`.
  ///   - inverseRMS: the factor of each row, [T, 1], which backward needs.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ x: MatrixView, weight: MatrixView, offset: Float = 0, epsilon: Float, into y: MatrixView,
    inverseRMS: MatrixView, on compute: Compute
  ) {
    requireShape(weight, 1, x.columns, "weight")
    requireShape(y, x.rows, x.columns, "y")
    requireShape(inverseRMS, x.rows, 1, "inverseRMS")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.norm.rms(
        x.from(t), weight.base, offset, epsilon, y.from(t), inverseRMS.from(t), rows.count,
        x.columns)
    }
  }

  /// The gradient of the input, and of the weight where it trains.
  ///
  /// - Parameters:
  ///   - dy: gradient of the result, [T, H].
  ///   - x: input of forward, [T, H].
  ///   - weight: factors, [1, H].
  ///   - offset: as in forward.
  ///   - inverseRMS: what forward kept, [T, 1].
  ///   - dx: gradient of the input, [T, H]; may be `dy`.
  ///   - adding: whether `dx` is added to.
  ///   - dWeight: added to, [1, H]; `nil` where the weight is frozen.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dy: MatrixView, input x: MatrixView, weight: MatrixView, offset: Float = 0,
    inverseRMS: MatrixView, into dx: MatrixView, adding: Bool = false, dWeight: MatrixView?,
    on compute: Compute
  ) {
    requireShape(dy, x.rows, x.columns, "dy")
    requireShape(dx, x.rows, x.columns, "dx")
    requireShape(weight, 1, x.columns, "weight")
    requireShape(inverseRMS, x.rows, 1, "inverseRMS")
    // First, since dx may be dy.
    if let dWeight {
      ColumnSums.add(of: dy, times: x, factor: inverseRMS, to: dWeight, on: compute)
    }
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.norm.rms_backward(
        dy.from(t), x.from(t), weight.base, offset, inverseRMS.from(t), dx.from(t),
        adding ? 1 : 0, rows.count, x.columns)
    }
  }
}
