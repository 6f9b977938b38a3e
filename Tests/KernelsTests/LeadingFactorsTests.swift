import Kernels
import Tensors
import TestSupport
import Testing

/// Singular triplets and QR decompositions against what defines them.
@Suite("Leading factors of a matrix")
struct LeadingFactorsTests {
  /// Sums of products along the middle: [rows, count] times [count, columns].
  private func product(_ a: [Double], _ b: [Double], _ rows: Int, _ count: Int, _ columns: Int)
    -> [Double]
  {
    (0..<(rows * columns)).map { place in
      (0..<count).reduce(0) {
        $0 + a[place / columns * count + $1] * b[$1 * columns + place % columns]
      }
    }
  }

  /// How far the columns of a matrix [rows, count] are from orthonormal.
  private func defect(_ a: [Double], _ rows: Int, _ count: Int) -> Double {
    var worst = 0.0
    for p in 0..<count {
      for q in 0..<count {
        let dot = (0..<rows).reduce(0) { $0 + a[$1 * count + p] * a[$1 * count + q] }
        worst = max(worst, abs(dot - (p == q ? 1 : 0)))
      }
    }
    return worst
  }

  private func matrix(_ rows: Int, _ columns: Int, _ value: (Int, Int) -> Float) -> FloatBuffer {
    let buffer = FloatBuffer(count: rows * columns)
    let view = buffer.view(rows: rows, columns: columns)
    for i in 0..<rows { for j in 0..<columns { view[i, j] = value(i, j) } }
    return buffer
  }

  private func noise(_ i: Int, _ j: Int) -> Float {
    let random = CounterRandom(seed: 3, purpose: "a matrix")
    return Float(random.uniform(UInt64(i * 1000 + j)) - 0.5)
  }

  private func transposed(_ x: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    (0..<x.count).map { x[$0 % rows * columns + $0 / rows] }
  }

  @Test(
    "All triplets make the matrix, and are orthonormal",
    arguments: [(7, 5), (5, 7), (31, 31), (40, 23), (1, 4), (4, 1)])
  func whole(_ rows: Int, _ columns: Int) {
    let buffer = matrix(rows, columns, noise)
    let w = buffer.view(rows: rows, columns: columns)
    let count = min(rows, columns)
    let factors = LeadingFactors.singular(of: w, count: count)
    #expect(zip(factors.values, factors.values.dropFirst()).allSatisfy { $0 >= $1 })
    let scaled = (0..<(rows * count)).map { factors.left[$0] * factors.values[$0 % count] }
    let found = product(scaled, factors.right, rows, count, columns)
    #expect(relativeError(found, w.elements.map(Double.init)) < 1e-13)
    #expect(defect(factors.left, rows, count) < 1e-12)
    #expect(defect(transposed(factors.right, count, columns), columns, count) < 1e-12)
  }

  @Test("Few triplets of a larger matrix are those of the whole", arguments: [1, 3, 8])
  func leading(_ count: Int) {
    let (rows, columns) = (150, 120)
    let buffer = matrix(rows, columns, noise)
    let w = buffer.view(rows: rows, columns: columns)
    let few = LeadingFactors.singular(of: w, count: count)
    let all = LeadingFactors.singular(of: w, count: columns)
    for k in 0..<count {
      #expect(abs(few.values[k] - all.values[k]) < 1e-11 * all.values[0])
      let (a, b) = (
        few.right[(k * columns)..<((k + 1) * columns)],
        all.right[(k * columns)..<((k + 1) * columns)]
      )
      #expect(relativeError(Array(a), Array(b)) < 1e-8)
    }
  }

  @Test("Equal values, and values of zero, are found")
  func degenerate() {
    let identity = matrix(12, 12) { $0 == $1 ? 2 : 0 }
    let factors = LeadingFactors.singular(of: identity.view(rows: 12, columns: 12), count: 5)
    #expect(factors.values.allSatisfy { abs($0 - 2) < 1e-12 })
    #expect(defect(factors.left, 12, 5) < 1e-10)
    let low = matrix(9, 6) { Float($0 + 1) * Float($1 + 2) }
    let single = LeadingFactors.singular(of: low.view(rows: 9, columns: 6), count: 3)
    #expect(single.values[0] > 1 && single.values[1] < 1e-10)
    let nothing = matrix(4, 4) { _, _ in 0 }
    let zero = LeadingFactors.singular(of: nothing.view(rows: 4, columns: 4), count: 2)
    #expect(zero.values == [0, 0] && zero.left.allSatisfy(\.isFinite))
  }

  @Test("Power iterations come near the triplets of a matrix whose values fall")
  func iterated() {
    let (rows, columns) = (60, 50)
    let falling = matrix(rows, columns) { i, j in
      (0..<8).reduce(0) { $0 + noise(i + 100, $1) * noise(j + 300, $1) * Float(1 << (8 - $1)) }
    }
    let w = falling.view(rows: rows, columns: columns)
    let exact = LeadingFactors.singular(of: w, count: 4)
    let near = LeadingFactors.singular(
      of: w, count: 4, iterations: 8, random: CounterRandom(seed: 1, purpose: "start"))
    for k in 0..<4 { #expect(abs(near.values[k] - exact.values[k]) < 1e-3 * exact.values[0]) }
    #expect(defect(near.left, rows, 4) < 1e-10)
  }

  @Test("Q is orthonormal, R is triangular, and all of both make the matrix")
  func qr() {
    for (rows, columns) in [(7, 5), (5, 7), (16, 16)] {
      let buffer = matrix(rows, columns, noise)
      let w = buffer.view(rows: rows, columns: columns)
      let count = min(rows, columns)
      let factors = LeadingFactors.orthogonalTriangular(of: w, count: count)
      let found = product(factors.left, factors.right, rows, count, columns)
      #expect(relativeError(found, w.elements.map(Double.init)) < 1e-13)
      #expect(defect(factors.left, rows, count) < 1e-13)
      for k in 0..<count {
        for j in 0..<k { #expect(factors.right[k * columns + j] == 0) }
      }
      let few = LeadingFactors.orthogonalTriangular(of: w, count: 2)
      #expect(few.right == Array(factors.right[..<(2 * columns)]))
    }
  }
}
