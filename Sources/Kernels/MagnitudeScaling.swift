import Tensors

/// DoRA's scaling of a projection's outputs, in a form that a scale of 1 leaves alone to the last
/// bit.
///
/// T tokens, O outputs. With w what the frozen weight gives without its bias, l the low-rank branch
/// and f a factor of each output,
///
///     z = w + l        y ← y + l + (f − 1) ⊙ z
///
/// which for `y = w + b` is `f ⊙ (w + l) + b`.
public enum MagnitudeScaling {
  /// Scales `y` in place and leaves z in the memory of `l`.
  ///
  /// - Parameters:
  ///   - y: the frozen projection's result, changed in place, [T, O].
  ///   - w: the product that is scaled, [T, O]; nil for `y − bias`.
  ///   - bias: the projection's bias, [1, O], where there is one.
  ///   - l: the branch, [T, O]; z afterwards.
  ///   - factor: f, [1, O].
  ///   - compute: the threads that compute it.
  public static func forward(
    _ y: MatrixView, product w: MatrixView?, bias: MatrixView?, branch l: MatrixView,
    factor: MatrixView, on compute: Compute
  ) {
    requireShape(l, y.rows, y.columns, "l")
    requireShape(factor, 1, y.columns, "the factor")
    if let w { requireShape(w, y.rows, y.columns, "w") }
    compute.forEachRows(y.rows, columns: y.columns) { rows in
      for t in rows {
        let target = y.base + t * y.rowStride
        let branch = l.base + t * l.rowStride
        let source = w.map { $0.base + t * $0.rowStride } ?? target
        let offset = w == nil ? bias?.base : nil
        for o in 0..<y.columns {
          let z = source[o] - (offset?[o] ?? 0) + branch[o]
          target[o] += branch[o] + (factor.base[o] - 1) * z
          branch[o] = z
        }
      }
    }
  }

  /// `Σ_i W[o, i]²` for every output o, in `Double`, whatever the weight's layout and format.
  public static func squaredNorms(of weight: WeightMatrix, on compute: Compute) -> [Double] {
    let (rows, columns) = (weight.storedRows, weight.storedColumns)
    let row = FloatBuffer(count: columns)
    var sums = [Double](repeating: 0, count: weight.outputSize)
    for index in 0..<rows {
      weight.read(row: index, into: row.base)
      switch weight.layout {
      case .outputMajor:
        let view = row.all
        sums[index] = Reduction.sumOfSquares(view, on: compute)
      case .inputMajor:
        for o in 0..<columns { sums[o] += Double(row.base[o]) * Double(row.base[o]) }
      }
    }
    return sums
  }
}
