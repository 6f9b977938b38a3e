import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Columns and rows by token") struct TokenColumnsTests {
  private let vocabulary = 23
  private let count = 90

  /// Bits of what `compute` makes of a matrix filled with 2 by each number of threads: one and the same.
  private func bits(
    _ rows: Int, _ columns: Int, expected: [Double], allowed: Double = 1e-4,
    location: SourceLocation = #_sourceLocation,
    _ body: (MatrixView, Compute) -> Void
  ) {
    var bits: [[UInt32]] = []
    for threads in 1...3 {
      let result = TestMatrix(rows, columns, rowStride: columns + 3, filled: 2)
      body(result.view, Compute(threads: threads))
      #expect(
        firstDifference(result.view, expected, allowed: allowed) == nil, sourceLocation: location)
      #expect(result.gapsAreUntouched, sourceLocation: location)
      bits.append(result.bits)
    }
    #expect(bits.allSatisfy { $0 == bits[0] }, sourceLocation: location)
  }

  @Test("Columns are looked up, and gather the gradients of tokens that come more than once")
  func columns() {
    let random = SeededRandom(51)
    let rank = 5
    let a = random.matrix(rank, vocabulary, rowStride: vocabulary + 2)
    let tokens = random.indices(count, below: vocabulary)
    bits(
      count, rank,
      expected: (0..<count).flatMap { t in
        (0..<rank).map { Double(a.view[$0, tokens.all[t]]) }
      }, allowed: 0
    ) { TokenColumns.forward(tokens.all, of: a.view, into: $0, on: $1) }
    let du = random.matrix(count, rank, rowStride: rank + 1)
    var sums = [Double](repeating: 2, count: rank * vocabulary)
    for t in 0..<count {
      for r in 0..<rank { sums[r * vocabulary + tokens.all[t]] += Double(du.view[t, r]) }
    }
    bits(rank, vocabulary, expected: sums) {
      TokenColumns.backward(du.view, tokens: tokens.all, addingTo: $0, on: $1)
    }
  }

  @Test("Rows stand in the place of some tokens' alone")
  func rows() {
    let random = SeededRandom(52)
    let hidden = 150
    let ids = [4, 22, 0]
    let places = IndexBuffer((0..<vocabulary).map { ids.firstIndex(of: $0) ?? -1 })
    let rows = random.matrix(ids.count, hidden, rowStride: hidden + 4)
    let tokens = random.indices(count, below: vocabulary)
    bits(
      count, hidden,
      expected: (0..<count).flatMap { t in
        let place = places.all[tokens.all[t]]
        return (0..<hidden).map { place < 0 ? 2 : Double(rows.view[place, $0]) }
      }, allowed: 0
    ) { TokenRows.forward(tokens.all, places: places.all, rows: rows.view, into: $0, on: $1) }
    let dx = random.matrix(count, hidden, rowStride: hidden + 1)
    var sums = [Double](repeating: 2, count: ids.count * hidden)
    for t in 0..<count where places.all[tokens.all[t]] >= 0 {
      for c in 0..<hidden { sums[places.all[tokens.all[t]] * hidden + c] += Double(dx.view[t, c]) }
    }
    bits(ids.count, hidden, expected: sums) {
      TokenRows.backward(
        dx.view, tokens: tokens.all, places: places.all, addingTo: $0, on: $1)
    }
  }

  @Test("Columns are taken out and put in")
  func gather() {
    let random = SeededRandom(53)
    let columns = IndexBuffer([7, 0, 11])
    let x = random.matrix(9, 12, rowStride: 12)
    let taken = TestMatrix(9, 3, filled: .nan)
    let original = (0..<9).flatMap { t in (0..<12).map { Double(x.view[t, $0]) } }
    let compute = Compute(threads: 2)
    Elementwise.gatherColumns(
      x.view, columns: columns.all, into: taken.view, clearing: true, on: compute)
    let cleared = original.enumerated().map {
      [7, 0, 11].contains($0.offset % 12) ? 0 : $0.element
    }
    #expect(firstDifference(x.view, cleared, allowed: 0) == nil)
    Elementwise.scatterColumns(taken.view, columns: columns.all, into: x.view, on: compute)
    #expect(firstDifference(x.view, original, allowed: 0) == nil)
  }
}
