/// The gradient of `function` at `point` by central differences in `Double`.
///
/// With a step h the error is about h²·|f'''|/6 + ε·|f|/h; h = 1e-5 leaves some ten correct digits
/// where the function and its derivatives are of the order of 1.
///
/// - Parameters:
///   - point: where; restored after each evaluation.
///   - step: distance to either side.
///   - function: the scalar function.
package func numericalGradient(
  at point: [Double], step: Double = 1e-5, of function: ([Double]) -> Double
) -> [Double] {
  var point = point
  return point.indices.map { index in
    let value = point[index]
    point[index] = value + step
    let above = function(point)
    point[index] = value - step
    let below = function(point)
    point[index] = value
    return (above - below) / (2 * step)
  }
}

/// The gradient of `Σ dy ⊙ op(point)` by central differences: what the backward of `op` must give
/// when the gradient of its output is `dy`.
package func numericalGradient(
  at point: [Double], times dy: [Double], step: Double = 1e-5, of op: ([Double]) -> [Double]
) -> [Double] {
  numericalGradient(at: point, step: step) { point in
    zip(op(point), dy).reduce(0) { $0 + $1.0 * $1.1 }
  }
}
