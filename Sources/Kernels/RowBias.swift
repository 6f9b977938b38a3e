import Tensors

/// A row added to every row of a matrix, with a factor: the bias of LoRA's branch.
public enum RowBias {
  /// Columns that a block takes; its sums run over all rows in order, whatever the threads.
  private static let blockColumns = 64

  /// `y[t] += s·b` for every row t.
  ///
  /// - Parameters:
  ///   - b: the row, [1, F].
  ///   - s: its factor.
  ///   - y: added to, [T, F].
  ///   - compute: the threads that compute it.
  public static func forward(
    _ b: MatrixView, scale s: Float, addingTo y: MatrixView, on compute: Compute
  ) {
    precondition(b.count == y.columns, "a row of \(b.count) added to rows of \(y.columns)")
    compute.forEachBlock(blockCount(y.columns, blockColumns)) { block, _ in
      let columns = blockRange(block, blockColumns, y.columns)
      for row in 0..<y.rows {
        let target = y.base + row * y.rowStride
        for column in columns { target[column] += s * b.base[column] }
      }
    }
  }

  /// `db += s·Σ_t dy[t]`.
  ///
  /// - Parameters:
  ///   - dy: gradient, [T, F].
  ///   - s: the factor of forward.
  ///   - db: added to, [1, F].
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dy: MatrixView, scale s: Float, addingTo db: MatrixView, on compute: Compute
  ) {
    precondition(db.count == dy.columns, "sums of \(dy.columns) columns into \(db.count)")
    compute.forEachBlock(blockCount(dy.columns, blockColumns)) { block, _ in
      let columns = blockRange(block, blockColumns, dy.columns)
      for row in 0..<dy.rows {
        let source = dy.base + row * dy.rowStride
        for column in columns { db.base[column] += s * source[column] }
      }
    }
  }
}
