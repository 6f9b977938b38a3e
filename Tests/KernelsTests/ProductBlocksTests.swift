import Kernels
import Testing

@Suite("How products are cut for threads") struct ProductBlocksTests {
  struct Cut: CustomTestStringConvertible, Sendable {
    let rows: Int
    let columns: Int
    let depth: Int
    let threads: Int

    var testDescription: String {
      "[\(rows), \(depth)] by \(columns) columns, \(threads) threads"
    }
  }

  static let cuts = [
    Cut(rows: 1, columns: 1, depth: 1, threads: 4), Cut(rows: 7, columns: 0, depth: 5, threads: 2),
    Cut(rows: 0, columns: 7, depth: 5, threads: 2), Cut(rows: 3, columns: 4, depth: 0, threads: 2),
    Cut(rows: 130, columns: 97, depth: 40, threads: 3),
    Cut(rows: 512, columns: 2048, depth: 5632, threads: 2),
    Cut(rows: 512, columns: 2047, depth: 2048, threads: 7),
    Cut(rows: 1200, columns: 5632, depth: 2048, threads: 16),
    Cut(rows: 33, columns: 49152, depth: 576, threads: 5),
  ]

  @Test("Every element is in one block", arguments: cuts)
  func coversAll(cut: Cut) {
    for (isTransposed, panel) in [(false, 16), (true, 16), (false, 48), (true, 48)] {
      let blocks = ProductBlocks(
        rows: cut.rows, columns: cut.columns, depth: cut.depth, isTransposed: isTransposed,
        panelColumns: panel, threads: cut.threads)
      var taken = Set<Int>()
      for block in 0..<blocks.count {
        let (rows, columns) = blocks[block]
        #expect(!rows.isEmpty && !columns.isEmpty && columns.lowerBound % panel == 0)
        #expect(rows.upperBound <= cut.rows && columns.upperBound <= cut.columns)
        for row in rows {
          for column in stride(from: columns.lowerBound, to: columns.upperBound, by: panel) {
            #expect(taken.insert(row * (cut.columns + panel) + column).inserted)
          }
        }
      }
      let panels = (cut.columns + panel - 1) / panel
      #expect(taken.count == cut.rows * panels, "\(isTransposed) \(panel)")
    }
  }

  /// TinyLlama's widths, one sequence of 512 tokens: all rows are in one group.
  @Test("Threads that share the columns get as many", arguments: [2048, 5632], [2, 4, 8])
  func even(columns: Int, threads: Int) {
    for isTransposed in [false, true] {
      let blocks = ProductBlocks(
        rows: 512, columns: columns, depth: 2048, isTransposed: isTransposed, panelColumns: 16,
        threads: threads)
      #expect(blocks.count % threads == 0)
      let each = blocks.count / threads
      for thread in 0..<threads {
        let share = (thread * each..<(thread + 1) * each).map { blocks[$0] }
        let elements = share.map { $0.rows.count * $0.columns.count }.reduce(0, +)
        #expect(elements == 512 * columns / threads)
      }
    }
  }
}
