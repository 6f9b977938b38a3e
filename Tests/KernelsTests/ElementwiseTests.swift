import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Element-wise kernels")
struct ElementwiseTests {
  static let rows = 90
  static let columns = 261

  private func operands() -> (x: TestMatrix, y: TestMatrix, random: SeededRandom) {
    let random = SeededRandom(11)
    return (
      random.matrix(Self.rows, Self.columns, rowStride: 270),
      random.matrix(Self.rows, Self.columns, rowStride: 263), random
    )
  }

  @Test("Adding and scaling", arguments: InstructionSet.available)
  func addAndScale(instructionSet: InstructionSet) throws {
    let compute = try Compute(threads: 3, instructionSet: instructionSet)
    let (x, y, random) = operands()
    let (columnFactors, rowFactors) = (random.matrix(1, Self.columns), random.matrix(Self.rows, 1))
    let (a, b) = (x.doubles, y.doubles)
    Elementwise.add(x.view, addingTo: y.view, scale: 0.3, on: compute)
    #expect(
      firstDifference(y.view, zip(a, b).map { Double(Float(0.3)) * $0 + $1 }, allowed: 1e-6) == nil)
    Elementwise.scale(x.view, by: -2, on: compute)
    #expect(x.doubles == a.map { -2 * $0 })
    Elementwise.scaleColumns(x.view, by: columnFactors.view, into: y.view, on: compute)
    let l = columnFactors.doubles
    let scaled = a.enumerated().map { -2 * $1 * l[$0 % Self.columns] }
    #expect(firstDifference(y.view, scaled, allowed: 4e-6) == nil)
    Elementwise.scaleRows(x.view, by: rowFactors.view, into: x.view, on: compute)
    let f = rowFactors.doubles
    let byRow = a.enumerated().map { -2 * $1 * f[$0 / Self.columns] }
    #expect(firstDifference(x.view, byRow, allowed: 4e-6) == nil)
    #expect(x.gapsAreUntouched && y.gapsAreUntouched)
  }

  @Test("Column sums, with and without a factor", arguments: [1, 4])
  func columnSums(threads: Int) {
    let compute = Compute(threads: threads)
    let (x, y, _) = operands()
    let sums = TestMatrix(1, Self.columns, filled: 1)
    let products = TestMatrix(1, Self.columns, filled: 1)
    Elementwise.addColumnSums(of: x.view, addingTo: sums.view, on: compute)
    Elementwise.addColumnSums(of: x.view, times: y.view, addingTo: products.view, on: compute)
    let (a, b) = (x.doubles, y.doubles)
    var (s, p) = (
      [Double](repeating: 1, count: Self.columns), [Double](repeating: 1, count: Self.columns)
    )
    for i in a.indices {
      s[i % Self.columns] += a[i]
      p[i % Self.columns] += a[i] * b[i]
    }
    let allowed = Tolerance.sum(terms: Self.rows, norms: Double(Self.rows).squareRoot() * 2)
    #expect(firstDifference(sums.view, s, allowed: allowed) == nil)
    #expect(firstDifference(products.view, p, allowed: allowed) == nil)
  }

  @Test("Gathered rows go back where they came from, also twice")
  func gatherAndScatter() {
    let compute = Compute(threads: 2)
    let (x, _, _) = operands()
    let rows = IndexBuffer((0..<70).map { ($0 * 3) % 35 })
    let y = TestMatrix(70, Self.columns, rowStride: 300)
    Elementwise.gatherRows(x.view, rows: rows.all, into: y.view, on: compute)
    for i in 0..<70 {
      let row = rows.all[i]
      #expect(y.view.rows(i..<(i + 1)).elements == x.view.rows(row..<(row + 1)).elements)
    }
    let sum = TestMatrix(Self.rows, Self.columns, filled: 0)
    Elementwise.scatterRows(y.view, rows: rows.all, addingTo: sum.view, on: compute)
    // Each of the 35 rows was named twice.
    let expected = x.doubles.enumerated().map { $0 / Self.columns < 35 ? 2 * $1 : 0 }
    #expect(sum.doubles == expected)
    let copy = TestMatrix(Self.rows, Self.columns, filled: 9)
    Elementwise.scatterRows(y.view, rows: rows.all, into: copy.view, on: compute)
    #expect(copy.doubles == x.doubles.enumerated().map { $0 / Self.columns < 35 ? $1 : 9 })
    #expect(y.gapsAreUntouched)
  }

  @Test("Sums of squares and products are exact enough and do not depend on threads")
  func reductions() {
    let (x, y, _) = operands()
    let contiguous = TestMatrix(copying: x.view)
    let (a, b) = (x.doubles, y.doubles)
    let squares = a.reduce(0) { $0 + $1 * $1 }
    let products = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
    let results = [1, 2, 5].map { threads in
      let compute = Compute(threads: threads)
      return [
        Reduction.sumOfSquares(x.view, on: compute),
        Reduction.sumOfSquares(contiguous.view, on: compute),
        Reduction.dot(x.view, y.view, on: compute),
      ]
    }
    #expect(results[0] == results[1] && results[0] == results[2])
    #expect(abs(results[0][0] - squares) < 1e-9 * squares)
    #expect(abs(results[0][1] - squares) < 1e-9 * squares)
    #expect(abs(results[0][2] - products) < 1e-9 * squares)
  }
}

@Suite("Dropout")
struct DropoutTests {
  @Test(
    "Draws are the generator's, by row key and column", arguments: [1, 3, 8, 33, 130],
    InstructionSet.available)
  func draws(columns: Int, instructionSet: InstructionSet) throws {
    let (rows, probability) = (200, 0.3)
    let random = CounterRandom(seed: 0x1234_5678_9abc_def0, stream: 0xfeed_0000_0001)
    let x = SeededRandom(2).matrix(rows, columns, rowStride: columns + 1)
    let keys = IndexBuffer((0..<rows).map { 1000 + 17 * $0 })
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    for rowKeys in [nil, keys.all] {
      let y = TestMatrix(rows, columns, rowStride: columns + 2)
      Elementwise.dropout(
        x.view, into: y.view, probability: Float(probability), random: random, rowKeys: rowKeys,
        on: compute)
      let threshold = UInt32(Double(Float(probability)) * 0x1p32)
      let quads = UInt64((columns + 3) / 4)
      var kept = 0
      for t in 0..<rows {
        for c in 0..<columns {
          let key = UInt64(rowKeys?[t] ?? t)
          let draw = random.words(key * quads + UInt64(c / 4))[c % 4]
          let expected = draw >= threshold ? x.view[t, c] * (1 / (1 - Float(probability))) : 0
          if y.view[t, c] != expected { Issue.record("(\(t), \(c)) is \(y.view[t, c])") }
          kept += draw >= threshold ? 1 : 0
        }
      }
      // Five standard deviations of a binomial distribution.
      let count = Double(rows * columns)
      #expect(abs(Double(kept) - 0.7 * count) < 5 * (0.21 * count).squareRoot())
      #expect(y.gapsAreUntouched)
      // In place, and without dropout.
      let z = TestMatrix(copying: x.view)
      Elementwise.dropout(
        z.view, into: z.view, probability: Float(probability), random: random, rowKeys: rowKeys,
        on: compute)
      #expect(z.bits == y.bits)
      Elementwise.dropout(x.view, into: z.view, probability: 0, random: random, on: compute)
      #expect(z.bits == x.bits)
    }
  }
}
