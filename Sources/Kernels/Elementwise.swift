import CKernels
import Tensors

// T rows, F columns.

/// What happens element by element, row by row or column by column.
public enum Elementwise {
  /// `y += scale · x`.
  ///
  /// - Parameters:
  ///   - x: what is added, [T, F].
  ///   - y: what it is added to, [T, F].
  ///   - scale: factor of `x`.
  ///   - compute: the threads that compute it.
  public static func add(
    _ x: MatrixView, addingTo y: MatrixView, scale: Float = 1, on compute: Compute
  ) {
    requireShape(y, x.rows, x.columns, "y")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.add(
        x.from(t), y.from(t), scale, rows.count, x.columns)
    }
  }

  /// `x *= factor`, in place.
  public static func scale(_ x: MatrixView, by factor: Float, on compute: Compute) {
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.scale(
        x.from(t), x.from(t), factor, rows.count, x.columns)
    }
  }

  /// `y = x ⊙ l`, column by column.
  ///
  /// - Parameters:
  ///   - x: input, [T, F].
  ///   - l: factor of each column, [1, F].
  ///   - y: result, [T, F]; may be `x`.
  ///   - compute: the threads that compute it.
  public static func scaleColumns(
    _ x: MatrixView, by l: MatrixView, into y: MatrixView, on compute: Compute
  ) {
    requireShape(l, 1, x.columns, "l")
    requireShape(y, x.rows, x.columns, "y")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.scale_columns(
        x.from(t), l.base, y.from(t), rows.count, x.columns)
    }
  }

  /// `y[t, c] = x[t, c] · f[t]`, row by row.
  ///
  /// - Parameters:
  ///   - x: input, [T, F].
  ///   - f: factor of each row, [T, 1].
  ///   - y: result, [T, F]; may be `x`.
  ///   - compute: the threads that compute it.
  public static func scaleRows(
    _ x: MatrixView, by f: MatrixView, into y: MatrixView, on compute: Compute
  ) {
    requireShape(f, x.rows, 1, "f")
    requireShape(y, x.rows, x.columns, "y")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.scale_rows(
        x.from(t), f.from(t), y.from(t), rows.count, x.columns)
    }
  }

  /// `y[t] = Σ_c a[t, c] · b[t, c]`, summed in f64.
  ///
  /// - Parameters:
  ///   - a: first factor, [T, F].
  ///   - b: second factor, [T, F].
  ///   - y: result, [T, 1].
  ///   - compute: the threads that compute it.
  public static func rowDots(
    _ a: MatrixView, _ b: MatrixView, into y: MatrixView, on compute: Compute
  ) {
    requireShape(b, a.rows, a.columns, "b")
    requireShape(y, a.rows, 1, "y")
    compute.forEachRows(a.rows, columns: a.columns) { rows in
      for t in rows {
        y[t, 0] = Float(
          compute.kernels.pointee.elementwise.dot(a.from(t), b.from(t), 1, a.columns))
      }
    }
  }

  /// `y[t, j] = x[t, first + j · step]`.
  ///
  /// - Parameters:
  ///   - x: source, [T, F].
  ///   - first: y's first column in x.
  ///   - step: columns of x from one of y's to the next.
  ///   - y: result, [T, n].
  ///   - compute: the threads that compute it.
  public static func gatherColumns(
    _ x: MatrixView, from first: Int, by step: Int, into y: MatrixView, on compute: Compute
  ) {
    requireColumns(x, y, first, step)
    compute.forEachRows(x.rows, columns: y.columns) { rows in
      for t in rows {
        for j in 0..<y.columns { y[t, j] = x[t, first + j * step] }
      }
    }
  }

  /// `x[t, first + j · step] += y[t, j]`, the backward of `gatherColumns`.
  ///
  /// - Parameters:
  ///   - y: source, [T, n].
  ///   - first: y's first column in x.
  ///   - step: columns of x from one of y's to the next.
  ///   - x: added to, [T, F].
  ///   - compute: the threads that compute it.
  public static func scatterColumns(
    _ y: MatrixView, from first: Int, by step: Int, addingTo x: MatrixView, on compute: Compute
  ) {
    requireColumns(x, y, first, step)
    compute.forEachRows(x.rows, columns: y.columns) { rows in
      for t in rows {
        for j in 0..<y.columns { x[t, first + j * step] += y[t, j] }
      }
    }
  }

  private static func requireColumns(
    _ x: MatrixView, _ y: MatrixView, _ first: Int, _ step: Int
  ) {
    precondition(
      x.rows == y.rows && first >= 0 && first + (y.columns - 1) * step < x.columns,
      "[\(y.rows), \(y.columns)] from column \(first) by \(step) of [\(x.rows), \(x.columns)]")
  }

  /// Exchanges groups of columns: group (i, j) of `x`, j counting within i, is group (j, i) of `y`.
  ///
  /// - Parameters:
  ///   - x: source, [T, outer · inner · width].
  ///   - outer: how many values i has.
  ///   - inner: how many values j has.
  ///   - width: columns of a group.
  ///   - y: result, [T, inner · outer · width], not the memory of `x`.
  ///   - compute: the threads that compute it.
  public static func exchangeGroups(
    _ x: MatrixView, outer: Int, inner: Int, width: Int, into y: MatrixView, on compute: Compute
  ) {
    requireShape(x, x.rows, outer * inner * width, "x")
    requireShape(y, x.rows, x.columns, "y")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      for t in rows {
        let (from, to) = (x.base + t * x.rowStride, y.base + t * y.rowStride)
        for i in 0..<outer {
          for j in 0..<inner {
            let group = from + (i * inner + j) * width
            (to + (j * outer + i) * width).update(from: group, count: width)
          }
        }
      }
    }
  }

  /// `dl += Σ_t dy ⊙ x`, the gradient of a factor or offset per column.
  ///
  /// - Parameters:
  ///   - dy: gradient, [T, F].
  ///   - x: factor of the gradient, [T, F]; `nil` counts as 1.
  ///   - dl: added to, [1, F].
  ///   - compute: the threads that compute it.
  public static func addColumnSums(
    of dy: MatrixView, times x: MatrixView? = nil, addingTo dl: MatrixView, on compute: Compute
  ) {
    ColumnSums.add(of: dy, times: x, to: dl, on: compute)
  }

  /// `y[i] = x[rows[i]]`.
  ///
  /// - Parameters:
  ///   - x: source, [T, F].
  ///   - rows: row numbers below T, n of them.
  ///   - y: result, [n, F].
  ///   - compute: the threads that compute it.
  public static func gatherRows(
    _ x: MatrixView, rows: IndexView, into y: MatrixView, on compute: Compute
  ) {
    requireShape(y, rows.count, x.columns, "y")
    compute.forEachRows(rows.count, columns: x.columns) { block in
      for i in block {
        let row = checked(rows[i], in: x)
        (y.base + i * y.rowStride).update(from: x.base + row * x.rowStride, count: x.columns)
      }
    }
  }

  /// `x[rows[i]] = y[i]`; the other rows of `x` stay.
  ///
  /// - Parameters:
  ///   - y: source, [n, F].
  ///   - rows: row numbers below T, n different ones.
  ///   - x: result, [T, F].
  ///   - compute: the threads that compute it.
  public static func scatterRows(
    _ y: MatrixView, rows: IndexView, into x: MatrixView, on compute: Compute
  ) {
    requireShape(y, rows.count, x.columns, "y")
    compute.forEachRows(rows.count, columns: x.columns) { block in
      for i in block {
        let row = checked(rows[i], in: x)
        (x.base + row * x.rowStride).update(from: y.base + i * y.rowStride, count: x.columns)
      }
    }
  }

  /// `x[rows[i]] += y[i]`, the backward of `gatherRows`; a row may be named more than once.
  ///
  /// - Parameters:
  ///   - y: source, [n, F].
  ///   - rows: row numbers below T, n of them.
  ///   - x: added to, [T, F].
  ///   - compute: the threads that compute it.
  public static func scatterRows(
    _ y: MatrixView, rows: IndexView, addingTo x: MatrixView, on compute: Compute
  ) {
    requireShape(y, rows.count, x.columns, "y")
    // By columns, so that rows named twice are added in order whatever the number of threads.
    let width = 256
    compute.forEachBlock(blockCount(x.columns, width)) { block, _ in
      let columns = blockRange(block, width, x.columns)
      for i in 0..<rows.count {
        let row = checked(rows[i], in: x)
        compute.kernels.pointee.elementwise.add(
          y.from(i, column: columns.lowerBound), x.from(row, column: columns.lowerBound), 1, 1,
          columns.count)
      }
    }
  }

  private static func checked(_ row: Int, in x: MatrixView) -> Int {
    precondition(row >= 0 && row < x.rows, "row \(row) of a matrix of \(x.rows)")
    return row
  }
}
