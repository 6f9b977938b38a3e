import Tensors

/// Products of matrices that are all in f32: adapters, and gradients of weights.
public enum Product {
  /// Computes `c (+)= scale · a op(b)`.
  ///
  /// ```swift
  /// Product.multiply(x, by: loraA, transposed: true, into: xA, on: compute)
  /// ```
  ///
  /// - Parameters:
  ///   - a: [M, K].
  ///   - b: [K, N], or [N, K] when transposed.
  ///   - c: [M, N]; must not overlap a or b.
  ///   - adding: whether to add to c instead of overwriting it.
  public static func multiply(
    _ a: MatrixView, by b: MatrixView, transposed bTransposed: Bool = false, into c: MatrixView,
    scale: Float = 1, adding: Bool = false, on compute: Compute
  ) {
    multiply(
      a, transposed: false, by: b, transposed: bTransposed, into: c, scale: scale, adding: adding,
      on: compute)
  }

  /// Computes `c (+)= scale · op(a) op(b)`.
  ///
  /// - Parameters:
  ///   - a: [M, K], or [K, M] when transposed.
  ///   - b: [K, N], or [N, K] when transposed.
  ///   - c: [M, N]; must not overlap a or b.
  ///   - adding: whether to add to c instead of overwriting it.
  public static func multiply(
    _ a: MatrixView, transposed aTransposed: Bool, by b: MatrixView,
    transposed bTransposed: Bool = false, into c: MatrixView, scale: Float = 1,
    adding: Bool = false, on compute: Compute
  ) {
    let (m, k) = aTransposed ? (a.columns, a.rows) : (a.rows, a.columns)
    let (kOfB, n) = bTransposed ? (b.columns, b.rows) : (b.rows, b.columns)
    precondition(
      k == kOfB && c.rows == m && c.columns == n,
      "[\(m), \(k)] times [\(kOfB), \(n)] into [\(c.rows), \(c.columns)]")
    guard m > 0 && n > 0 else { return }
    guard k > 0 else {
      if !adding { c.fill(0) }
      return
    }
    if let packed = compute.product.packed {
      PackedMatrixProduct(
        packed, .init(base: a.base, stride: a.rowStride, transposed: aTransposed),
        .init(base: b.base, stride: b.rowStride, transposed: bTransposed), depth: k, shape: c
      ).multiply(into: c, scale: scale, adding: adding, on: compute)
      return
    }
    let (rowStep, columnStep) = steps(m, n, k)
    let rowBlocks = blockCount(m, rowStep)
    compute.forEachBlock(rowBlocks * blockCount(n, columnStep)) { block, worker in
      let rows = blockRange(block % rowBlocks, rowStep, m)
      let columns = blockRange(block / rowBlocks, columnStep, n)
      let target = c.rows(rows).columns(columns)
      compute.product.multiply(
        .init(
          base: a.base + rows.lowerBound * (aTransposed ? 1 : a.rowStride), stride: a.rowStride,
          transposed: aTransposed),
        .init(
          base: b.base + columns.lowerBound * (bTransposed ? b.rowStride : 1), stride: b.rowStride,
          transposed: bTransposed),
        depth: k, scale: scale, into: target, adding: adding,
        scratch: UnsafeMutableRawPointer(compute.scratch(worker: worker).base))
    }
  }

  /// The block's shape: as large as multiplies well, cut further until there are enough blocks to
  /// share out or one is hardly worth waking a thread for.
  private static func steps(_ m: Int, _ n: Int, _ k: Int) -> (rows: Int, columns: Int) {
    var rows = min(m, 256)
    var columns = min(n, 256)
    // A million multiply-adds take a core about 25 microseconds.
    let wanted = min(16, m * n * k / 1_000_000)
    while blockCount(m, rows) * blockCount(n, columns) < wanted {
      if rows >= columns && rows > 32 {
        rows = roundedHalf(rows)
      } else if columns > 32 {
        columns = roundedHalf(columns)
      } else {
        break
      }
    }
    return (rows, columns)
  }

  private static func roundedHalf(_ count: Int) -> Int { (count / 2 + 15) & ~15 }
}
