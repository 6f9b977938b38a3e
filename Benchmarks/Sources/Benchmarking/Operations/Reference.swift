import Foundation

/// Arithmetic in `Double`, one number at a time: what results are checked against.
enum Reference {
  /// op(a)·op(b) of row-major matrices, [m, k] by [k, n] once transposed or not.
  static func product(
    _ a: [Double], _ b: [Double], _ m: Int, _ k: Int, _ n: Int, aTransposed: Bool = false,
    bTransposed: Bool = false
  ) -> [Double] {
    var c = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        for l in 0..<k {
          sum += a[aTransposed ? l * m + i : i * k + l] * b[bTransposed ? j * k + l : l * n + j]
        }
        c[i * n + j] = sum
      }
    }
    return c
  }

  /// A function's slope, by central differences.
  static func slope(_ f: (Double) -> Double, at x: Double) -> Double {
    let h = 1e-5
    return (f(x + h) - f(x - h)) / (2 * h)
  }

  /// e^x.
  static func exponential(_ x: Double) -> Double { exp(x) }

  /// The natural logarithm.
  static func logarithm(_ x: Double) -> Double { log(x) }

  /// Cosine and sine.
  static func circle(_ angle: Double) -> (cosine: Double, sine: Double) {
    (cos(angle), sin(angle))
  }

  /// `x / (1 + e^-x)`.
  static func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

  /// GELU by its tanh approximation.
  static func gelu(_ x: Double) -> Double {
    0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  }

  /// The two norms of a row, and the gradient of `Σ dy ⊙ y` for it.
  ///
  /// - Parameter bias: nil is the root mean square without a mean.
  static func norm(
    _ x: ArraySlice<Double>, dy: ArraySlice<Double>, weight: [Double], bias: [Double]?,
    epsilon: Double
  ) -> (y: [Double], dx: [Double]) {
    let n = Double(x.count)
    let mean = bias == nil ? 0 : x.reduce(0, +) / n
    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n
    let factor = 1 / (variance + epsilon).squareRoot()
    let z = x.map { ($0 - mean) * factor }
    let g = zip(dy, weight).map { $0 * $1 }
    let alongZ = zip(g, z).reduce(0) { $0 + $1.0 * $1.1 } / n
    let alongOne = bias == nil ? 0 : g.reduce(0, +) / n
    return (
      z.indices.map { z[$0] * weight[$0] + (bias?[$0] ?? 0) },
      z.indices.map { factor * (g[$0] - alongOne - z[$0] * alongZ) }
    )
  }
}
