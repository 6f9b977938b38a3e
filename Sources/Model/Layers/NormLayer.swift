import Kernels
import Tensors

/// A normalisation of the base.
///
/// It keeps two numbers a row from forward to backward: the mean (LayerNorm) and the inverse of the
/// deviation.
package final class NormLayer {
  /// Module path.
  package let path: String
  /// The factor, [1, n].
  package let weight: Parameter
  /// LayerNorm's bias, [1, n].
  package let bias: Parameter?
  private let offset: Float
  private let epsilon: Float

  /// - Parameters:
  ///   - bias: where there is one, it is LayerNorm, else RMSNorm.
  ///   - offset: added to RMSNorm's factor.
  init(path: String, weight: Parameter, bias: Parameter?, offset: Float, epsilon: Double) {
    self.path = path
    self.weight = weight
    self.bias = bias
    self.offset = offset
    self.epsilon = Float(epsilon)
  }

  /// Features of a row.
  var size: Int { weight.shape[0] }

  /// Whether it trains.
  package var trains: Bool { weight.isTrainable || (bias?.isTrainable ?? false) }

  /// Columns of the statistics that forward keeps.
  static let statisticsColumns = 2

  /// Normalises the rows of `x` into `y`, keeping `statistics` [rows, 2] for backward.
  func forward(_ x: MatrixView, into y: MatrixView, statistics: MatrixView, on compute: Compute) {
    guard let weightVector = weight.vector else { preconditionFailure("\(path) is not a vector") }
    let (mean, inverse) = split(statistics, rows: x.rows)
    compute.part(.norm) {
      if let bias = bias?.vector {
        LayerNorm.forward(
          x, weight: weightVector, bias: bias, epsilon: epsilon, into: y, mean: mean,
          inverseDeviation: inverse, on: compute)
      } else {
        RMSNorm.forward(
          x, weight: weightVector, offset: offset, epsilon: epsilon, into: y,
          inverseRMS: inverse, on: compute)
      }
    }
  }

  /// Backward of `forward`, adding to `dx` if `adding`.
  func backward(
    _ dy: MatrixView, input x: MatrixView, statistics: MatrixView, into dx: MatrixView,
    adding: Bool, on compute: Compute
  ) {
    guard let weightVector = weight.vector else { preconditionFailure("\(path) is not a vector") }
    let (mean, inverse) = split(statistics, rows: x.rows)
    let dWeight = weight.gradient.map { $0.reshaped(rows: 1, columns: $0.count) }
    compute.part(.norm) {
      if bias != nil {
        let dBias = bias?.gradient.map { $0.reshaped(rows: 1, columns: $0.count) }
        LayerNorm.backward(
          dy, input: x, weight: weightVector, mean: mean, inverseDeviation: inverse, into: dx,
          adding: adding, dWeight: dWeight, dBias: dBias, on: compute)
      } else {
        RMSNorm.backward(
          dy, input: x, weight: weightVector, offset: offset, inverseRMS: inverse, into: dx,
          adding: adding, dWeight: dWeight, on: compute)
      }
    }
  }

  /// The two columns of statistics, each [rows, 1] without gaps.
  private func split(_ statistics: MatrixView, rows: Int) -> (MatrixView, MatrixView) {
    let flat = statistics.reshaped(rows: 1, columns: statistics.count)
    return (
      flat.columns(0..<rows).reshaped(rows: rows, columns: 1),
      flat.columns(rows..<(2 * rows)).reshaped(rows: rows, columns: 1)
    )
  }
}
