/// A row-major matrix of numbers in bf16 that somebody else owns: half the memory of a `MatrixView`.
///
/// It lives as long as what it views, by the same promise. For what is kept rounded; arithmetic on it
/// is done in f32.
@safe
public struct RoundedView {
  /// Element (0, 0), by its bits.
  public let base: UnsafeMutablePointer<UInt16>
  /// Number of rows.
  public let rows: Int
  /// Number of columns.
  public let columns: Int
  /// Elements from one row's start to the next's, at least `columns`.
  public let rowStride: Int

  /// Uses the memory of `floats` for twice as many columns, less one where `columns` is odd.
  public init(_ floats: MatrixView, columns: Int) {
    precondition(
      RoundedView.floatColumns(columns) == floats.columns,
      "\(columns) rounded columns in \(floats.columns)")
    let count = 2 * floats.rows * floats.rowStride
    base = UnsafeMutableRawPointer(floats.base).bindMemory(to: UInt16.self, capacity: count)
    rows = floats.rows
    self.columns = columns
    rowStride = 2 * floats.rowStride
  }

  /// Columns of floats that a row of so many rounded numbers takes.
  public static func floatColumns(_ columns: Int) -> Int { (columns + 1) / 2 }

  /// One element's value.
  public subscript(row: Int, column: Int) -> Float {
    assert(row >= 0 && row < rows && column >= 0 && column < columns)
    return HalfPrecision.float(bfloat16: base[row * rowStride + column])
  }
}
