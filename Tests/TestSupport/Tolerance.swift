import Tensors

/// How far a result in f32 may lie from its reference in `Double`.
///
/// A sum of n products computed in f32, in any order, has an error of at most about n·ε·Σ|aᵢbᵢ|,
/// and Σ|aᵢbᵢ| <= ‖a‖·‖b‖ (Higham, "Accuracy and Stability of Numerical Algorithms", §3.1). Rounding
/// errors do not conspire: √n stands for n, with a factor for safety.
package enum Tolerance {
  /// Half the distance from 1 to the next f32.
  package static let unitRoundoff = 0x1p-24
  /// The same for bf16, of 8 significant bits.
  package static let bfloat16Roundoff = 0x1p-8

  /// The allowed error of one element.
  ///
  /// - Parameters:
  ///   - terms: length of the sum.
  ///   - norms: product of the operands' norms along the sum (or of bounds on them).
  ///   - safety: room for what the sum is part of.
  package static func sum(terms: Int, norms: Double, safety: Double = 8) -> Double {
    safety * unitRoundoff * (Double(max(terms, 1)).squareRoot() * norms + 1e-30)
  }

  /// The allowed error, relative to the norm, of what comes out of several products in succession
  /// whose operands are rounded to bf16.
  ///
  /// Rounding both operands puts a product off by about u of its norm, and the errors of products
  /// that read each other add up like a random walk. A gradient that is a small difference of large
  /// numbers, as those of keys and queries are, is off by more; the greatest of the golden cases'
  /// 959 gradients is off by 4.8 times the walk.
  ///
  /// - Parameters:
  ///   - count: products on the longest way from the input to the result.
  ///   - safety: room for cancellation.
  package static func bfloat16(productsInSuccession count: Int, safety: Double = 8) -> Double {
    safety * bfloat16Roundoff * Double(max(count, 1)).squareRoot()
  }

  /// The Euclidean norm.
  package static func norm(_ values: some Sequence<Double>) -> Double {
    values.reduce(0) { $0 + $1 * $1 }.squareRoot()
  }
}

/// Where two lists of numbers differ most, or `nil` where none differs by more than allowed.
///
/// - Parameter allowed: greatest absolute difference of one element. A NaN always differs.
package func firstDifference(
  _ result: [Double], _ expected: [Double], allowed: Double
) -> String? {
  guard result.count == expected.count else {
    return "\(result.count) numbers, expected \(expected.count)"
  }
  var worst = (index: -1, difference: allowed)
  for index in result.indices {
    let difference = abs(result[index] - expected[index])
    if difference.isNaN || difference > worst.difference { worst = (index, difference) }
    if difference.isNaN { break }
  }
  guard worst.index >= 0 else { return nil }
  return """
    element \(worst.index) is \(result[worst.index]), expected \(expected[worst.index]): \
    off by \(worst.difference), \(allowed) allowed
    """
}

/// The same for a matrix against its reference, row by row.
package func firstDifference(
  _ result: MatrixView, _ expected: [Double], allowed: Double
) -> String? {
  firstDifference(result.elements.map(Double.init), expected, allowed: allowed)
}

/// How far `result` lies from `expected`, relative to the norm of `expected`.
package func relativeError(_ result: [Double], _ expected: [Double]) -> Double {
  precondition(result.count == expected.count, "\(result.count) numbers for \(expected.count)")
  let difference = Tolerance.norm(zip(result, expected).map { $0 - $1 })
  return difference / max(Tolerance.norm(expected), .leastNormalMagnitude)
}
