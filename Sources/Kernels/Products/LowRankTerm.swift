import Tensors

/// `scale · left op(right)`, in f32: what a low-rank adapter adds to a frozen product.
///
/// Handed to the product it is added while the result is still in registers; above a rank of 64 it is a
/// product of its own.
public struct LowRankTerm {
  /// [T, R].
  public let left: MatrixView
  /// [R, N], or [N, R] when transposed.
  public let right: MatrixView
  /// Whether `right` is used transposed.
  public let isTransposed: Bool
  /// What the product counts for.
  public let scale: Float

  /// `scale · left right`, or `scale · left rightᵀ`.
  public init(
    _ left: MatrixView, by right: MatrixView, transposed isTransposed: Bool = false,
    scale: Float = 1
  ) {
    (self.left, self.right) = (left, right)
    (self.isTransposed, self.scale) = (isTransposed, scale)
  }

  var rank: Int { left.columns }

  /// Requires that it can be added to a result of this shape.
  func requireShape(rows: Int, columns: Int) {
    let (depth, width) =
      isTransposed ? (right.columns, right.rows) : (right.rows, right.columns)
    precondition(
      left.rows == rows && depth == rank && width == columns,
      "[\(left.rows), \(left.columns)] times [\(depth), \(width)] into [\(rows), \(columns)]")
  }

  /// What it adds to a block of the result.
  func part(rows: Range<Int>, columns: Range<Int>) -> LowRankTerm {
    LowRankTerm(
      left.rows(rows), by: isTransposed ? right.rows(columns) : right.columns(columns),
      transposed: isTransposed, scale: scale)
  }

  /// Adds it to `c`, [T, N], as a product of its own.
  func add(to c: MatrixView, on compute: Compute) {
    Product.multiply(
      left, by: right, transposed: isTransposed, into: c, scale: scale, adding: true, on: compute)
  }
}
