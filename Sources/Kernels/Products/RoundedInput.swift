import CKernels
import Tensors

/// The left operand of the product at hand, rounded to bf16 once for all blocks.
///
/// Its memory grows to the largest operand there was, and stays.
final class RoundedInput {
  /// Rows that a worker rounds at a time.
  private static let blockRows = 32

  private let isWidened: Bool
  private var storage = FloatBuffer(count: 0)
  /// Elements from one row to the next, even.
  ///
  /// In bf16 a 0 lies behind a row of odd length.
  private(set) var stride = 0

  /// - Parameter isWidened: whether the rounded numbers are kept as floats.
  init(isWidened: Bool) { self.isWidened = isWidened }

  /// Bytes of an element.
  var elementBytes: Int { isWidened ? 4 : 2 }

  /// Bytes held.
  var byteCount: Int { storage.count * MemoryLayout<Float>.stride }

  /// Where a row starts.
  func row(_ row: Int) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(storage.base) + row * stride * elementBytes
  }

  /// The same where they are floats.
  func floats(row: Int) -> UnsafePointer<Float> {
    UnsafePointer(self.row(row).assumingMemoryBound(to: Float.self))
  }

  /// Makes room for a matrix, unless there is.
  func reserve(rows: Int, columns: Int) {
    let floats = floatCount(rows: rows, columns: columns)
    if storage.count < floats { storage = FloatBuffer(count: floats) }
  }

  /// Floats that a matrix takes the room of.
  func floatCount(rows: Int, columns: Int) -> Int {
    rows * stride(columns: columns) * elementBytes / 4
  }

  private func stride(columns: Int) -> Int {
    MatrixView.operandStride(columns: columns, elementBytes: elementBytes)
  }

  /// Rounds `a`, on all threads.
  func take(_ a: MatrixView, on compute: Compute) {
    reserve(rows: a.rows, columns: a.columns)
    stride = stride(columns: a.columns)
    let native = compute.product.kernels.pointee.narrow
    let linear = compute.kernels.pointee.linear
    let count = Int64(a.columns)
    compute.forEachBlock(blockCount(a.rows, RoundedInput.blockRows)) { block, _ in
      for index in blockRange(block, RoundedInput.blockRows, a.rows) {
        let (source, target) = (a.base + index * a.rowStride, row(index))
        if isWidened {
          linear.expand_rounded(target.assumingMemoryBound(to: Float.self), source, ck_f32, count)
          continue
        }
        let halves = target.assumingMemoryBound(to: UInt16.self)
        if let native {
          native(halves, source, count)
        } else {
          linear.narrow(halves, source, ck_f32, count)
        }
        if a.columns % 2 == 1 { halves[a.columns] = 0 }
      }
    }
  }
}
