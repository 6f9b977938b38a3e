import Tensors

/// Random inputs of a test, as a function of a seed that the test prints.
///
/// ```swift
/// let random = SeededRandom(1)
/// let x = random.matrix(3, 5)
/// ```
///
/// Each call draws from a stream of its own, in the order of the calls.
package final class SeededRandom {
  /// What everything follows from.
  package let seed: UInt64
  private var stream: UInt64 = 0

  /// A source whose draws follow from `seed`; says so on standard output.
  package init(_ seed: UInt64, function: String = #function) {
    self.seed = seed
    print("\(function): random inputs of seed \(seed)")
  }

  /// The next independent generator.
  package func generator() -> CounterRandom {
    stream += 1
    return CounterRandom(seed: seed, stream: stream)
  }

  /// A matrix of normal numbers.
  ///
  /// With a `rowStride` beyond `columns` the gaps hold NaN, so that a
  /// kernel that reads them is found out.
  package func matrix(
    _ rows: Int, _ columns: Int, rowStride: Int? = nil, standardDeviation: Double = 1
  ) -> TestMatrix {
    let matrix = TestMatrix(rows, columns, rowStride: rowStride)
    generator().fillNormal(matrix.view, standardDeviation: standardDeviation)
    return matrix
  }

  /// `count` whole numbers in `0 ..< bound`.
  package func indices(_ count: Int, below bound: Int) -> IndexBuffer {
    let random = generator()
    return IndexBuffer(
      (0..<count).map { Int(random.integer(UInt64($0), below: UInt64(bound))) })
  }
}

/// A matrix that owns its floats, for tests.
///
/// Gaps between rows hold NaN. Give it a name: a temporary is freed as soon as its `view` was read.
package final class TestMatrix {
  private let buffer: FloatBuffer
  package let view: MatrixView

  /// A matrix filled with `value`.
  package init(_ rows: Int, _ columns: Int, rowStride: Int? = nil, filled value: Float = 0) {
    let stride = rowStride ?? columns
    buffer = FloatBuffer(count: max(rows * stride, 1))
    buffer.all.fill(.nan)
    view = MatrixView(base: buffer.base, rows: rows, columns: columns, rowStride: stride)
    view.fill(value)
  }

  /// The same floats in memory of its own.
  package convenience init(copying other: MatrixView) {
    self.init(other.rows, other.columns)
    view.copy(from: other)
  }

  /// The elements as `Double`, row by row.
  package var doubles: [Double] { view.elements.map(Double.init) }

  /// Whether the gaps between rows are still as they were made.
  package var gapsAreUntouched: Bool {
    for row in 0..<max(view.rows - 1, 0) {
      for column in view.columns..<max(view.rowStride, view.columns) {
        if !view.base[row * view.rowStride + column].isNaN { return false }
      }
    }
    return true
  }

  /// The bits of every element, to compare results that must be the same to the last one.
  package var bits: [UInt32] { view.elements.map(\.bitPattern) }
}
