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
  ///   - bTransposed: whether op(b) is bᵀ.
  ///   - c: [M, N]; must not overlap a or b.
  ///   - scale: factor on the product.
  ///   - adding: whether to add to c instead of overwriting it.
  ///   - compute: the threads that compute it.
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
  ///   - aTransposed: whether op(a) is aᵀ.
  ///   - b: [K, N], or [N, K] when transposed.
  ///   - bTransposed: whether op(b) is bᵀ.
  ///   - c: [M, N]; must not overlap a or b.
  ///   - scale: factor on the product.
  ///   - adding: whether to add to c instead of overwriting it.
  ///   - compute: the threads that compute it.
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
    MatrixProduct(
      compute.product, .init(base: a.base, stride: a.rowStride, transposed: aTransposed),
      .init(base: b.base, stride: b.rowStride, transposed: bTransposed), depth: k, shape: c
    ).multiply(into: c, scale: scale, adding: adding, on: compute)
  }
}
