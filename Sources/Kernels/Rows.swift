import CKernels
import Tensors

/// Elements of a block of row-wise work: 64 KiB of f32, which a second-level cache holds together
/// with two more operands.
private let blockElements = 16 * 1024

/// Rows of a block of row-wise work on rows of `columns` elements, a function of the shape alone.
func rowsPerBlock(columns: Int) -> Int { max(1, blockElements / max(columns, 1)) }

extension MatrixView {
  /// The rows from `row` on, as kernels in C take them.
  func from(_ row: Int = 0, column: Int = 0) -> ck_matrix {
    ck_matrix(base: base + row * rowStride + column, stride: rowStride)
  }
}

extension RoundedView {
  /// The rows from `row` on, as kernels in C take them.
  func from(_ row: Int = 0) -> ck_rounded_matrix {
    ck_rounded_matrix(base: base + row * rowStride, stride: rowStride)
  }
}

extension ck_matrix {
  /// An operand that is not there.
  static var absent: ck_matrix { ck_matrix(base: nil, stride: 0) }
}

extension Compute {
  /// Calls `body` for blocks of consecutive rows that together are all of them.
  @inline(__always)
  func forEachRows(_ rows: Int, columns: Int, _ body: (Range<Int>) -> Void) {
    let size = rowsPerBlock(columns: columns)
    if rows <= size {
      if rows > 0 { body(0..<rows) }
      return
    }
    forEachBlock(blockCount(rows, size)) { block, _ in body(blockRange(block, size, rows)) }
  }
}

/// Our own bug, said with both shapes.
@inline(__always)
func requireShape(_ x: RoundedView, _ rows: Int, _ columns: Int, _ name: StaticString) {
  precondition(
    x.rows == rows && x.columns == columns,
    "\(name) is [\(x.rows), \(x.columns)], expected [\(rows), \(columns)]")
}

/// Our own bug, said with both shapes.
@inline(__always)
func requireShape(
  _ x: MatrixView, _ rows: Int, _ columns: Int, _ name: StaticString
) {
  precondition(
    x.rows == rows && x.columns == columns,
    "\(name) is [\(x.rows), \(x.columns)], expected [\(rows), \(columns)]")
}
