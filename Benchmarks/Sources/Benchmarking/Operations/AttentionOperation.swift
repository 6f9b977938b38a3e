import Kernels
import Tensors

/// Causal attention over sequences of given lengths, forward or backward.
final class AttentionOperation: Operation {
  let name: String
  let precision: Precision
  let bound: Bound
  private let isForward: Bool
  private let shape: AttentionShape
  private let lengths: [Int]
  private let offsets: IndexBuffer
  private let query: OwnedMatrix
  private let key: OwnedMatrix
  private let value: OwnedMatrix
  private let dOut: OwnedMatrix
  private let out: OwnedMatrix
  private let logSumExp: OwnedMatrix
  private let dQuery: OwnedMatrix
  private let dKey: OwnedMatrix
  private let dValue: OwnedMatrix

  init(
    lengths: [Int], heads: Int, keyValueHeads: Int, dim: Int, forward: Bool, precision: Precision
  ) {
    isForward = forward
    self.precision = precision
    name = forward ? "attention forward" : "attention backward"
    self.lengths = lengths
    shape = AttentionShape(
      headCount: heads, keyValueHeadCount: keyValueHeads, headDim: dim,
      scale: 1 / Float(dim).squareRoot())
    var starts = [0]
    for length in lengths { starts.append(starts[starts.count - 1] + length) }
    offsets = IndexBuffer(starts)
    let (rows, wide, narrow) = (starts[lengths.count], heads * dim, keyValueHeads * dim)
    query = OwnedMatrix(rows, wide, seed: 41)
    key = OwnedMatrix(rows, narrow, seed: 42)
    value = OwnedMatrix(rows, narrow, seed: 43)
    dOut = OwnedMatrix(rows, wide, seed: 44)
    if precision == .bf16 {
      for operand in [query, key, value, dOut] { operand.roundToBFloat16() }
    }
    (out, dQuery) = (OwnedMatrix(rows: rows, columns: wide), OwnedMatrix(rows: rows, columns: wide))
    (dKey, dValue) = (
      OwnedMatrix(rows: rows, columns: narrow), OwnedMatrix(rows: rows, columns: narrow)
    )
    logSumExp = OwnedMatrix(rows: rows, columns: heads)

    let pairs = lengths.reduce(0.0) { $0 + Double($1) * Double($1 + 1) / 2 }
    // Forward: scores, and values by them. Backward needs the gradients of both products' operands.
    let operations = (forward ? 4 : 8) * Double(wide) * pairs
    let moved = forward ? 2 * wide + 2 * narrow : 4 * wide + 4 * narrow
    bound = .roofline(operations: operations, bytes: Double(4 * rows * moved))
    // Backward needs what forward keeps, whoever runs it.
    attend(on: Compute(threads: 1))
  }

  var size: String {
    let heads = "\(shape.headCount)/\(shape.keyValueHeadCount) heads of \(shape.headDim)"
    let isEven = Set(lengths).count == 1
    return (isEven ? "\(lengths.count) x \(lengths[0])" : "ragged \(lengths.reduce(0, +))")
      + ", \(heads)"
  }

  private var spans: SequenceSpans {
    SequenceSpans(queryOffsets: offsets.all, keyOffsets: offsets.all)
  }

  private func attend(on compute: Compute) {
    Attention.forward(
      query: query.view, key: key.view, value: value.view, prefix: nil, spans: spans, shape: shape,
      arithmetic: precision.arithmetic, into: out.view, logSumExp: logSumExp.view, on: compute)
  }

  func run(on compute: Compute) {
    if isForward { return attend(on: compute) }
    Attention.backward(
      dOut.view, query: query.view, key: key.view, value: value.view, prefix: nil, out: out.view,
      logSumExp: logSumExp.view, spans: spans, shape: shape,
      arithmetic: precision.arithmetic, into: dQuery.view, dKey.view, dValue.view,
      prefixGradients: nil, on: compute)
  }

  func results() -> [CheckedResult] {
    let expected = naive()
    var results =
      isForward
      ? [CheckedResult("result", out.view, expected.out)]
      : [
        CheckedResult("gradient of queries", dQuery.view, expected.dQuery),
        CheckedResult("gradient of keys", dKey.view, expected.dKey),
        CheckedResult("gradient of values", dValue.view, expected.dValue),
      ]
    // In bf16, probabilities and the scores' gradients are rounded to 8 bits.
    if precision == .bf16 { for index in results.indices { results[index].tolerance = 0x1p-8 } }
    return results
  }

  private struct Expected {
    var out: [Double]
    var dQuery: [Double]
    var dKey: [Double]
    var dValue: [Double]
  }

  /// One query of one head after the other.
  private func naive() -> Expected {
    let (q, k, v, g) = (query.doubles, key.doubles, value.doubles, dOut.doubles)
    let zeros = { (matrix: [Double]) in [Double](repeating: 0, count: matrix.count) }
    var result = Expected(out: zeros(q), dQuery: zeros(q), dKey: zeros(k), dValue: zeros(v))
    let (dim, wide) = (shape.headDim, query.view.columns)
    let narrow = key.view.columns
    func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> Double {
      (0..<dim).reduce(0) { $0 + a[i + $1] * b[j + $1] }
    }
    for sequence in lengths.indices {
      let first = offsets.all[sequence]
      for row in first..<first + lengths[sequence] {
        for head in 0..<shape.headCount {
          let at = row * wide + head * dim
          let places = (first...row).map { $0 * narrow + head / shape.groupSize * dim }
          let scores = places.map { Double(shape.scale) * dot(q, at, k, $0) }
          let largest = scores.max() ?? 0
          let weights = scores.map { Reference.exponential($0 - largest) }
          let total = weights.reduce(0, +)
          let p = weights.map { $0 / total }
          let dp = places.map { dot(g, at, v, $0) }
          let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
          for (index, place) in places.enumerated() {
            let ds = p[index] * (dp[index] - mean) * Double(shape.scale)
            for d in 0..<dim {
              result.out[at + d] += p[index] * v[place + d]
              result.dQuery[at + d] += ds * k[place + d]
              result.dKey[place + d] += ds * q[at + d]
              result.dValue[place + d] += p[index] * g[at + d]
            }
          }
        }
      }
    }
    return result
  }
}
