import Foundation

/// Attention in `Double`, one number at a time: what the kernels are compared with.
struct ReferenceAttention {
  var heads: Int
  var keyValueHeads: Int
  var dim: Int
  var scale: Double
  var window = 0
  /// Scores s become `cap · tanh(s / cap)`; 0: they stay.
  var cap = 0.0
  /// Query and key counts of each sequence.
  var queries: [Int]
  var keys: [Int]
  var prefix = 0

  struct Inputs {
    var query: [Double]
    var key: [Double]
    var value: [Double]
    var prefixKey: [Double] = []
    var prefixValue: [Double] = []
  }

  /// The softmax row of a query: pairs of (key row, probability); prefix rows come as -1 - row.
  private func probabilities(
    _ x: Inputs, sequence: Int, queryRow: Int, index: Int, keyStart: Int, head: Int
  ) -> (rows: [Int], p: [Double], slopes: [Double], logSum: Double) {
    let shared = head / (heads / keyValueHeads)
    let position = keys[sequence] - queries[sequence] + index
    let first = window == 0 ? 0 : max(0, position - window + 1)
    // The prefix's rows are keys before the sequence's first: a window passes them by.
    var rows = (0..<prefix).filter { window == 0 || $0 - prefix > position - window }
      .map { -1 - $0 }
    if position >= first { rows += (first...position).map { keyStart + $0 } }
    let scores = rows.map { row in
      (0..<dim).reduce(0.0) { sum, d in
        let q = x.query[(queryRow * heads + head) * dim + d]
        let k = element(row, shared, d, x.key, x.prefixKey)
        return sum + q * k * scale
      }
    }
    let capped = cap == 0 ? scores : scores.map { cap * tanh($0 / cap) }
    let slopes = scores.map { cap == 0 ? 1 : 1 - tanh($0 / cap) * tanh($0 / cap) }
    let greatest = capped.max() ?? 0
    let total = capped.reduce(0) { $0 + exp($1 - greatest) }
    return (rows, capped.map { exp($0 - greatest) / total }, slopes, greatest + log(total))
  }

  private func element(
    _ row: Int, _ head: Int, _ d: Int, _ own: [Double], _ prefix: [Double]
  ) -> Double {
    row >= 0
      ? own[(row * keyValueHeads + head) * dim + d]
      : prefix[((-1 - row) * keyValueHeads + head) * dim + d]
  }

  private func forEachQuery(
    _ body: (_ sequence: Int, _ row: Int, _ index: Int, _ keyStart: Int, _ head: Int) -> Void
  ) {
    var (row, keyStart) = (0, 0)
    for sequence in queries.indices {
      for index in 0..<queries[sequence] {
        for head in 0..<heads { body(sequence, row, index, keyStart, head) }
        row += 1
      }
      keyStart += keys[sequence]
    }
  }

  func forward(_ x: Inputs) -> (out: [Double], logSum: [Double]) {
    var out = [Double](repeating: 0, count: x.query.count)
    var logSum = [Double](repeating: 0, count: x.query.count / dim)
    forEachQuery { sequence, row, index, keyStart, head in
      let (rows, p, _, sum) = probabilities(
        x, sequence: sequence, queryRow: row, index: index, keyStart: keyStart, head: head)
      logSum[row * heads + head] = sum
      for (key, weight) in zip(rows, p) {
        for d in 0..<dim {
          out[(row * heads + head) * dim + d] +=
            weight * element(key, head / (heads / keyValueHeads), d, x.value, x.prefixValue)
        }
      }
    }
    return (out, logSum)
  }

  /// Gradients of `Σ dOut ⊙ out`.
  func backward(_ x: Inputs, dOut: [Double]) -> Inputs {
    var g = Inputs(
      query: x.query.map { _ in 0 }, key: x.key.map { _ in 0 }, value: x.value.map { _ in 0 },
      prefixKey: x.prefixKey.map { _ in 0 }, prefixValue: x.prefixValue.map { _ in 0 })
    forEachQuery { sequence, row, index, keyStart, head in
      let shared = head / (heads / keyValueHeads)
      let (rows, p, slopes, _) = probabilities(
        x, sequence: sequence, queryRow: row, index: index, keyStart: keyStart, head: head)
      let base = (row * heads + head) * dim
      let dp = rows.map { key in
        (0..<dim).reduce(0.0) {
          $0 + dOut[base + $1] * element(key, shared, $1, x.value, x.prefixValue)
        }
      }
      let delta = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
      for (i, key) in rows.enumerated() {
        let ds = p[i] * (dp[i] - delta) * slopes[i] * scale
        for d in 0..<dim {
          g.query[base + d] += ds * element(key, shared, d, x.key, x.prefixKey)
          let place = ((key >= 0 ? key : -1 - key) * keyValueHeads + shared) * dim + d
          if key >= 0 {
            g.key[place] += ds * x.query[base + d]
            g.value[place] += p[i] * dOut[base + d]
          } else {
            g.prefixKey[place] += ds * x.query[base + d]
            g.prefixValue[place] += p[i] * dOut[base + d]
          }
        }
      }
    }
    return g
  }
}
