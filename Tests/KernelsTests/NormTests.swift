import Kernels
import Tensors
import TestSupport
import Testing

/// Norms in `Double`; `bias` tells them apart: nil is the root mean square.
private func referenceNorm(
  _ x: [Double], columns: Int, weight: [Double], bias: [Double]?, epsilon: Double
) -> [Double] {
  var y = x
  for row in 0..<(x.count / columns) {
    let range = row * columns..<(row + 1) * columns
    let mean = bias == nil ? 0 : x[range].reduce(0, +) / Double(columns)
    let variance = x[range].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
    for (c, i) in range.enumerated() {
      y[i] = (x[i] - mean) / (variance + epsilon).squareRoot() * weight[c] + (bias?[c] ?? 0)
    }
  }
  return y
}

private func column(_ m: MatrixView, _ c: Int) -> MatrixView { m.columns(c..<(c + 1)) }

/// What a norm and its backward make of random inputs.
private final class NormRun {
  let x: TestMatrix
  let weight: TestMatrix
  let bias: TestMatrix
  let dy: TestMatrix
  let y: TestMatrix
  let dx: TestMatrix
  let dWeight: TestMatrix
  let dBias: TestMatrix
  private let statistics: TestMatrix
  let epsilon: Float = 1e-3
  /// What RMSNorm adds to its factors.
  let offset: Float = 0.5

  init(rows: Int, columns: Int) {
    let random = SeededRandom(7)
    x = random.matrix(rows, columns, rowStride: columns + 3)
    for t in 0..<rows { for c in 0..<columns { x.view[t, c] += 0.5 } }
    weight = random.matrix(1, columns)
    bias = random.matrix(1, columns)
    dy = random.matrix(rows, columns, rowStride: columns + 1)
    y = TestMatrix(rows, columns, rowStride: columns + 2, filled: .nan)
    dx = TestMatrix(rows, columns, rowStride: columns + 5, filled: 0.25)
    dWeight = TestMatrix(1, columns, filled: 0.5)
    dBias = TestMatrix(1, columns, filled: 0.5)
    statistics = TestMatrix(rows, 2)
  }

  func run(isLayer: Bool, adding: Bool, on compute: Compute) {
    let (mean, inverse) = (column(statistics.view, 0), column(statistics.view, 1))
    if isLayer {
      LayerNorm.forward(
        x.view, weight: weight.view, bias: bias.view, epsilon: epsilon, into: y.view, mean: mean,
        inverseDeviation: inverse, on: compute)
      LayerNorm.backward(
        dy.view, input: x.view, weight: weight.view, mean: mean, inverseDeviation: inverse,
        into: dx.view, adding: adding, dWeight: dWeight.view, dBias: dBias.view, on: compute)
    } else {
      RMSNorm.forward(
        x.view, weight: weight.view, offset: offset, epsilon: epsilon, into: y.view,
        inverseRMS: inverse, on: compute)
      RMSNorm.backward(
        dy.view, input: x.view, weight: weight.view, offset: offset, inverseRMS: inverse,
        into: dx.view, adding: adding, dWeight: dWeight.view, on: compute)
    }
  }
}

@Suite("Norms")
struct NormTests {
  @Test(
    "Forward matches the reference and backward its central differences",
    arguments: [false, true], [(1, 1), (1, 64), (3, 17), (7, 31), (2, 96)])
  func matches(isLayer: Bool, size: (rows: Int, columns: Int)) {
    let columns = size.columns
    for adding in [false, true] {
      let run = NormRun(rows: size.rows, columns: columns)
      run.run(isLayer: isLayer, adding: adding, on: Compute(threads: 2))
      let (x, weight, bias) = (run.x.doubles, run.weight.doubles, run.bias.doubles)
      func norm(_ x: [Double], _ weight: [Double], _ bias: [Double]) -> [Double] {
        referenceNorm(
          x, columns: columns, weight: isLayer ? weight : weight.map { $0 + Double(run.offset) },
          bias: isLayer ? bias : nil,
          epsilon: Double(run.epsilon))
      }
      func expect(_ matrix: TestMatrix, _ expected: [Double], _ norms: Double, _ name: String) {
        let allowed = Tolerance.sum(terms: columns, norms: norms)
        let difference = firstDifference(matrix.view, expected, allowed: allowed)
        #expect(difference == nil, "\(name): \(difference ?? "")")
        #expect(matrix.gapsAreUntouched, "\(name)")
      }
      expect(run.y, norm(x, weight, bias), 8, "y")
      let dy = run.dy.doubles
      // A row of one number has no deviation: its factor is 1 / √ε, and gradients are that large.
      let factor = columns == 1 ? 1 / Double(run.epsilon).squareRoot() : 4
      let dx = numericalGradient(at: x, times: dy) { norm($0, weight, bias) }
      expect(run.dx, dx.map { $0 + (adding ? 0.25 : 0) }, 8 * factor, "dx")
      let dWeight = numericalGradient(at: weight, times: dy) { norm(x, $0, bias) }
      expect(run.dWeight, dWeight.map { $0 + 0.5 }, 8 * factor, "dWeight")
      guard isLayer else { continue }
      let dBias = numericalGradient(at: bias, times: dy) { norm(x, weight, $0) }
      expect(run.dBias, dBias.map { $0 + 0.5 }, 8, "dBias")
    }
  }

  @Test("Results may take the place of operands", arguments: [false, true])
  func aliasing(isLayer: Bool) {
    let apart = NormRun(rows: 5, columns: 40)
    apart.run(isLayer: isLayer, adding: false, on: Compute(threads: 1))
    let run = NormRun(rows: 5, columns: 40)
    let (compute, statistics) = (Compute(threads: 1), TestMatrix(5, 2))
    let (mean, inverse) = (column(statistics.view, 0), column(statistics.view, 1))
    let y = TestMatrix(copying: run.x.view)
    if isLayer {
      LayerNorm.forward(
        y.view, weight: run.weight.view, bias: run.bias.view, epsilon: run.epsilon, into: y.view,
        mean: mean, inverseDeviation: inverse, on: compute)
      LayerNorm.backward(
        run.dy.view, input: run.x.view, weight: run.weight.view, mean: mean,
        inverseDeviation: inverse, into: run.dy.view, dWeight: run.dWeight.view,
        dBias: run.dBias.view, on: compute)
    } else {
      RMSNorm.forward(
        y.view, weight: run.weight.view, offset: run.offset, epsilon: run.epsilon, into: y.view,
        inverseRMS: inverse, on: compute)
      RMSNorm.backward(
        run.dy.view, input: run.x.view, weight: run.weight.view, offset: run.offset,
        inverseRMS: inverse, into: run.dy.view, dWeight: run.dWeight.view, on: compute)
    }
    #expect(y.bits == apart.y.bits)
    #expect(run.dy.bits == apart.dx.bits)
    #expect(run.dWeight.bits == apart.dWeight.bits)
  }

  @Test("The number of threads does not change a bit", arguments: [false, true])
  func threads(isLayer: Bool) {
    let runs = [1, 2, 5].map { threads in
      let run = NormRun(rows: 130, columns: 300)
      run.run(isLayer: isLayer, adding: true, on: Compute(threads: threads))
      return [run.y, run.dx, run.dWeight, run.dBias].map(\.bits)
    }
    #expect(runs[0] == runs[1])
    #expect(runs[0] == runs[2])
  }
}
