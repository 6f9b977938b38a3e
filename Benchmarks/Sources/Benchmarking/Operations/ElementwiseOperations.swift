import Kernels
import Tensors

/// A root-mean-square or layer norm, forward or backward.
final class NormOperation: Operation {
  let name: String
  let bound: Bound
  private let isLayer: Bool
  private let isForward: Bool
  private let x: OwnedMatrix
  private let dy: OwnedMatrix
  private let weight: OwnedMatrix
  private let bias: OwnedMatrix
  private let y: OwnedMatrix
  private let dx: OwnedMatrix
  private let mean: OwnedMatrix
  private let factor: OwnedMatrix
  private let epsilon: Float = 1e-5

  init(rows: Int, columns: Int, layer: Bool, forward: Bool) {
    isLayer = layer
    isForward = forward
    name = (layer ? "LayerNorm" : "RMSNorm") + (forward ? " forward" : " backward")
    bound = .memory(bytes: Double(4 * rows * columns * (forward ? 2 : 3)))
    x = OwnedMatrix(rows, columns, seed: 51)
    dy = OwnedMatrix(rows, columns, seed: 52)
    weight = OwnedMatrix(1, columns, seed: 53)
    bias = OwnedMatrix(1, columns, seed: 54)
    (y, dx) = (OwnedMatrix(rows: rows, columns: columns), OwnedMatrix(rows: rows, columns: columns))
    (mean, factor) = (OwnedMatrix(rows: rows, columns: 1), OwnedMatrix(rows: rows, columns: 1))
    normalise(on: Compute(threads: 1))
  }

  var size: String { "\(x.view.rows) x \(x.view.columns)" }

  private func normalise(on compute: Compute) {
    if isLayer {
      LayerNorm.forward(
        x.view, weight: weight.view, bias: bias.view, epsilon: epsilon, into: y.view,
        mean: mean.view, inverseDeviation: factor.view, on: compute)
    } else {
      RMSNorm.forward(
        x.view, weight: weight.view, epsilon: epsilon, into: y.view, inverseRMS: factor.view,
        on: compute)
    }
  }

  func run(on compute: Compute) {
    if isForward { return normalise(on: compute) }
    if isLayer {
      LayerNorm.backward(
        dy.view, input: x.view, weight: weight.view, mean: mean.view, inverseDeviation: factor.view,
        into: dx.view, dWeight: nil, dBias: nil, on: compute)
    } else {
      RMSNorm.backward(
        dy.view, input: x.view, weight: weight.view, inverseRMS: factor.view, into: dx.view,
        dWeight: nil, on: compute)
    }
  }

  func results() -> [CheckedResult] {
    let (columns, values, slopes) = (x.view.columns, x.doubles, dy.doubles)
    var (expectedY, expectedDX): ([Double], [Double]) = ([], [])
    for row in 0..<x.view.rows {
      let range = row * columns..<(row + 1) * columns
      let (y, dx) = Reference.norm(
        values[range], dy: slopes[range], weight: weight.doubles,
        bias: isLayer ? bias.doubles : nil,
        epsilon: Double(epsilon))
      expectedY += y
      expectedDX += dx
    }
    return isForward
      ? [CheckedResult("result", y.view, expectedY)]
      : [CheckedResult("gradient", dx.view, expectedDX)]
  }
}

/// SwiGLU, or GELU by tanh, forward or backward.
final class ActivationOperation: Operation {
  let name: String
  let bound: Bound
  private let isGated: Bool
  private let isForward: Bool
  private let x: OwnedMatrix
  private let up: OwnedMatrix
  private let dy: OwnedMatrix
  private let y: OwnedMatrix
  private let dUp: OwnedMatrix

  init(rows: Int, columns: Int, gated: Bool, forward: Bool) {
    isGated = gated
    isForward = forward
    name = (gated ? "SwiGLU" : "GELU (tanh)") + (forward ? " forward" : " backward")
    let matrices = gated ? (forward ? 3 : 5) : (forward ? 2 : 3)
    bound = .memory(bytes: Double(4 * rows * columns * matrices))
    x = OwnedMatrix(rows, columns, seed: 61)
    up = OwnedMatrix(rows, columns, seed: 62)
    dy = OwnedMatrix(rows, columns, seed: 63)
    (y, dUp) = (
      OwnedMatrix(rows: rows, columns: columns), OwnedMatrix(rows: rows, columns: columns)
    )
  }

  var size: String { "\(x.view.rows) x \(x.view.columns)" }

  func run(on compute: Compute) {
    switch (isGated, isForward) {
    case (true, true): SwiGLU.forward(x.view, up: up.view, into: y.view, on: compute)
    case (true, false):
      SwiGLU.backward(
        dy.view, .exact(gate: x.view, up: up.view), into: y.view, dUp.view, on: compute)
    case (false, true): Activation.forward(.geluTanh, x.view, into: y.view, on: compute)
    case (false, false):
      Activation.backward(.geluTanh, dy.view, input: .exact(x.view), into: y.view, on: compute)
    }
  }

  func results() -> [CheckedResult] {
    let (x, up, dy) = (self.x.doubles, self.up.doubles, self.dy.doubles)
    let f = isGated ? Reference.silu : Reference.gelu
    if isForward {
      let expected = x.indices.map { f(x[$0]) * (isGated ? up[$0] : 1) }
      return [CheckedResult("result", y.view, expected)]
    }
    let slopes = x.indices.map {
      dy[$0] * (isGated ? up[$0] : 1) * Reference.slope(f, at: x[$0])
    }
    let gradient = CheckedResult("gradient", y.view, slopes)
    guard isGated else { return [gradient] }
    return [
      gradient,
      CheckedResult("gradient of up", dUp.view, x.indices.map { dy[$0] * f(x[$0]) }),
    ]
  }
}

/// Rotary positions of queries, in place.
final class RotaryOperation: Operation {
  let name = "rotary positions"
  let bound: Bound
  private let heads: Int
  private let dim: Int
  private let start: OwnedMatrix
  private let x: OwnedMatrix
  private let positions: IndexBuffer
  private let table: RotaryTable
  private let frequencies: [Double]

  init(rows: Int, heads: Int, dim: Int) {
    (self.heads, self.dim) = (heads, dim)
    frequencies = (0..<dim / 2).map {
      Reference.exponential(-Reference.logarithm(10000) * Double(2 * $0) / Double(dim))
    }
    table = RotaryTable(inverseFrequencies: frequencies, maxPosition: rows)
    positions = IndexBuffer(Array(0..<rows))
    start = OwnedMatrix(rows, heads * dim, seed: 71)
    x = OwnedMatrix(rows: rows, columns: heads * dim)
    let bytes = Double(4 * rows * heads * dim)
    bound = .memory(bytes: 2 * bytes, workingSet: bytes)
    reset()
  }

  var size: String { "\(x.view.rows) x \(heads) heads of \(dim)" }

  func reset() { x.view.copy(from: start.view) }

  func run(on compute: Compute) {
    RotaryEmbedding.apply(
      x.view, headCount: heads, positions: positions.all, table: table, on: compute)
  }

  func results() -> [CheckedResult] {
    let before = start.doubles
    var expected = before
    for row in 0..<x.view.rows {
      for head in 0..<heads {
        for pair in 0..<dim / 2 {
          let (i, j) = (
            (row * heads + head) * dim + pair, (row * heads + head) * dim + pair + dim / 2
          )
          let (cosine, sine) = Reference.circle(Double(row) * frequencies[pair])
          expected[i] = before[i] * cosine - before[j] * sine
          expected[j] = before[j] * cosine + before[i] * sine
        }
      }
    }
    return [CheckedResult("result", x.view, expected)]
  }
}

/// The optimiser's update of some parameters, from zero moments.
final class AdamWOperation: Operation {
  let name = "AdamW"
  let bound: Bound
  private let start: OwnedMatrix
  private let values: OwnedMatrix
  private let gradients: OwnedMatrix
  private let first: OwnedMatrix
  private let second: OwnedMatrix
  private static let (rate, beta1, beta2, epsilon, decay) = (1e-3, 0.9, 0.999, 1e-8, 0.01)

  init(count: Int) {
    start = OwnedMatrix(1, count, seed: 81)
    values = OwnedMatrix(rows: 1, columns: count)
    gradients = OwnedMatrix(1, count, seed: 82)
    (first, second) = (OwnedMatrix(rows: 1, columns: count), OwnedMatrix(rows: 1, columns: count))
    // Reads four buffers, writes three.
    bound = .memory(bytes: Double(28 * count), workingSet: Double(16 * count))
    reset()
  }

  var size: String { "\(values.view.count) parameters" }

  func reset() {
    values.view.copy(from: start.view)
    first.view.fill(0)
    second.view.fill(0)
  }

  func run(on compute: Compute) {
    AdamW.update(
      values: values.view, gradients: gradients.view, firstMoment: first.view,
      secondMoment: second.view, learningRate: Self.rate, beta1: Self.beta1, beta2: Self.beta2,
      epsilon: Self.epsilon, weightDecay: Self.decay, step: 1, on: compute)
  }

  func results() -> [CheckedResult] {
    // At step 1 from zero moments the corrected moments are g and g².
    let (p, g) = (start.doubles, gradients.doubles)
    let expected = p.indices.map {
      p[$0] * (1 - Self.rate * Self.decay) - Self.rate * g[$0] / (abs(g[$0]) + Self.epsilon)
    }
    return [
      CheckedResult("values", values.view, expected),
      CheckedResult("first moment", first.view, g.map { (1 - Self.beta1) * $0 }),
      CheckedResult("second moment", second.view, g.map { (1 - Self.beta2) * $0 * $0 }),
    ]
  }
}
