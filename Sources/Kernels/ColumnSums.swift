import CKernels
import Tensors

/// Sums over the rows of a matrix: what the gradient of a weight per column is.
enum ColumnSums {
  /// `sum[c] += Σ_t dy[t, c] (x[t, c] - mean[t]) factor[t]`.
  ///
  /// An absent `x` counts as 1, an absent `mean` as 0, an absent `factor` as 1. One worker makes all of a column's sum, rows in order.
  static func add(
    of dy: MatrixView, times x: MatrixView? = nil, mean: MatrixView? = nil,
    factor: MatrixView? = nil, to sum: MatrixView, on compute: Compute
  ) {
    requireShape(sum, 1, dy.columns, "the sum over columns")
    if let x { requireShape(x, dy.rows, dy.columns, "the factor of a column sum") }
    // Whole cache lines; narrow enough that a few hundred columns keep several threads busy.
    let width = dy.columns >= 1024 ? 128 : 32
    compute.forEachBlock(blockCount(dy.columns, width)) { block, _ in
      let columns = blockRange(block, width, dy.columns)
      compute.kernels.pointee.norm.column_sums(
        dy.from(column: columns.lowerBound), x?.from(column: columns.lowerBound) ?? .absent,
        mean?.from() ?? .absent, factor?.from() ?? .absent, sum.base + columns.lowerBound,
        dy.rows, columns.count)
    }
  }
}
