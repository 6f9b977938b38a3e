import CKernels
import Tensors

/// Sums over all elements, in `Double` and in an order that depends on the shape alone.
public enum Reduction {
  // As many partial sums fit on the stack without an allocation (1 KiB).
  private static let partCount = 128

  /// `Σ x²`.
  public static func sumOfSquares(_ x: MatrixView, on compute: Compute) -> Double {
    dot(x, x, on: compute)
  }

  /// `Σ a ⊙ b`.
  ///
  /// - Parameters:
  ///   - a: first factor.
  ///   - b: second factor, in the shape of `a`.
  ///   - compute: the threads that compute it.
  public static func dot(_ a: MatrixView, _ b: MatrixView, on compute: Compute) -> Double {
    requireShape(b, a.rows, a.columns, "b")
    // A single row is cut by columns; gradients are one long row.
    if a.isContiguous && b.isContiguous {
      let part = max(4096, (a.count + partCount - 1) / partCount)
      return sum(of: blockCount(a.count, part), on: compute) { block in
        let range = blockRange(block, part, a.count)
        return compute.kernels.pointee.elementwise.dot(
          ck_matrix(base: a.base + range.lowerBound, stride: 0),
          ck_matrix(base: b.base + range.lowerBound, stride: 0), 1, range.count)
      }
    }
    let part = max(1, (a.rows + partCount - 1) / partCount)
    return sum(of: blockCount(a.rows, part), on: compute) { block in
      let range = blockRange(block, part, a.rows)
      return compute.kernels.pointee.elementwise.dot(
        a.from(range.lowerBound), b.from(range.lowerBound), range.count, a.columns)
    }
  }

  /// The sum of at most `partCount` partial sums, added in order.
  @inline(__always)
  private static func sum(
    of parts: Int, on compute: Compute, _ part: (Int) -> Double
  ) -> Double {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: partCount) { sums in
      compute.forEachBlock(parts) { block, _ in sums[block] = part(block) }
      var total = 0.0
      for block in 0..<parts { total += sums[block] }
      return total
    }
  }
}
