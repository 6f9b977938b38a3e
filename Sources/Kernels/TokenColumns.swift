import CKernels
import Tensors

/// Columns of a matrix by token id, and their gradients: an embedding whose table is stored by
/// features, as a low-rank adapter's `A` is.
///
/// R features, V vocabulary, T tokens.
public enum TokenColumns {
  /// Computes `u[t] = a[:, tokens[t]]`.
  ///
  /// - Parameters:
  ///   - tokens: T ids below V.
  ///   - a: [R, V].
  ///   - u: [T, R].
  ///   - compute: the threads that compute it.
  public static func forward(
    _ tokens: IndexView, of a: MatrixView, into u: MatrixView, on compute: Compute
  ) {
    requireShape(u, tokens.count, a.rows, "u")
    compute.forEachRows(tokens.count, columns: a.rows) { rows in
      for t in rows {
        let source = a.base + checked(tokens[t], below: a.columns)
        let target = u.base + t * u.rowStride
        for r in 0..<a.rows { target[r] = source[r * a.rowStride] }
      }
    }
  }

  /// Computes `dA[:, tokens[t]] += du[t]`, in the order of t.
  ///
  /// Workers take features, not tokens, since a token may come more than once.
  ///
  /// - Parameters:
  ///   - du: [T, R].
  ///   - tokens: T ids below V.
  ///   - dA: [R, V].
  ///   - compute: the threads that compute it.
  public static func backward(
    _ du: MatrixView, tokens: IndexView, addingTo dA: MatrixView, on compute: Compute
  ) {
    requireShape(du, tokens.count, dA.rows, "du")
    for t in 0..<tokens.count { _ = checked(tokens[t], below: dA.columns) }
    compute.forEachRows(dA.rows, columns: tokens.count) { features in
      for r in features {
        let target = dA.base + r * dA.rowStride
        for t in 0..<tokens.count { target[tokens[t]] += du.base[t * du.rowStride + r] }
      }
    }
  }
}

/// Rows that stand in the place of some rows of a table, and their gradients.
///
/// n rows, V vocabulary, H hidden, T tokens. `places` says for each id which row stands there, or -1.
public enum TokenRows {
  /// Writes `x[t] = rows[places[tokens[t]]]` where there is a place; other rows of x stay.
  ///
  /// - Parameters:
  ///   - tokens: T ids below V.
  ///   - places: V numbers below n, or -1.
  ///   - rows: [n, H].
  ///   - x: [T, H].
  ///   - compute: the threads that compute it.
  public static func forward(
    _ tokens: IndexView, places: IndexView, rows: MatrixView, into x: MatrixView,
    on compute: Compute
  ) {
    requireShape(x, tokens.count, rows.columns, "x")
    compute.forEachRows(tokens.count, columns: x.columns) { block in
      for t in block {
        let place = places[checked(tokens[t], below: places.count)]
        if place < 0 { continue }
        (x.base + t * x.rowStride).update(
          from: rows.base + place * rows.rowStride, count: x.columns)
      }
    }
  }

  /// Computes `dRows[places[tokens[t]]] += dx[t]` where there is a place, in the order of t.
  ///
  /// - Parameters:
  ///   - dx: [T, H].
  ///   - tokens: T ids below V.
  ///   - places: V numbers below n, or -1.
  ///   - dRows: [n, H].
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dx: MatrixView, tokens: IndexView, places: IndexView, addingTo dRows: MatrixView,
    on compute: Compute
  ) {
    requireShape(dx, tokens.count, dRows.columns, "dx")
    // By columns: a token may come more than once.
    compute.forEachBlock(blockCount(dx.columns, columnStep)) { block, _ in
      let columns = blockRange(block, columnStep, dx.columns)
      let linear = compute.kernels.pointee.linear
      for t in 0..<tokens.count {
        let place = places[checked(tokens[t], below: places.count)]
        if place < 0 { continue }
        linear.add_scaled(
          dRows.base + place * dRows.rowStride + columns.lowerBound,
          dx.base + t * dx.rowStride + columns.lowerBound, 1, Int64(columns.count))
      }
    }
  }

  /// Columns of a block: eight cache lines.
  private static let columnStep = 128
}

extension Elementwise {
  /// `y[:, i] = x[:, columns[i]]`.
  ///
  /// - Parameters:
  ///   - x: source, [T, F].
  ///   - columns: n column numbers below F.
  ///   - y: result, [T, n].
  ///   - clearing: whether the columns of `x` are set to zero.
  ///   - compute: the threads that compute it.
  public static func gatherColumns(
    _ x: MatrixView, columns: IndexView, into y: MatrixView, clearing: Bool = false,
    on compute: Compute
  ) {
    requireShape(y, x.rows, columns.count, "y")
    compute.forEachRows(x.rows, columns: columns.count) { rows in
      for t in rows {
        let (source, target) = (x.base + t * x.rowStride, y.base + t * y.rowStride)
        for i in 0..<columns.count {
          let column = checked(columns[i], below: x.columns)
          target[i] = source[column]
          if clearing { source[column] = 0 }
        }
      }
    }
  }

  /// `x[:, columns[i]] = y[:, i]`; the other columns of `x` stay.
  ///
  /// - Parameters:
  ///   - y: source, [T, n].
  ///   - columns: n different column numbers below F.
  ///   - x: result, [T, F].
  ///   - compute: the threads that compute it.
  public static func scatterColumns(
    _ y: MatrixView, columns: IndexView, into x: MatrixView, on compute: Compute
  ) {
    requireShape(y, x.rows, columns.count, "y")
    compute.forEachRows(x.rows, columns: columns.count) { rows in
      for t in rows {
        let (source, target) = (y.base + t * y.rowStride, x.base + t * x.rowStride)
        for i in 0..<columns.count { target[checked(columns[i], below: x.columns)] = source[i] }
      }
    }
  }
}

@inline(__always)
private func checked(_ index: Int, below count: Int) -> Int {
  precondition(index >= 0 && index < count, "\(index) of \(count)")
  return index
}
