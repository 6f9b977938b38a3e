/// A matrix that owns its floats: what a ``FloatBuffer`` is to an object that is shared.
///
/// ```swift
/// let sums = OwnedMatrix(rows: 1, columns: 768)
/// sums.view.fill(0)
/// ```
///
/// Give it a name: a temporary is freed as soon as its `view` was read.
public final class OwnedMatrix {
  private let buffer: FloatBuffer
  /// The matrix, row-major and without gaps; it must not outlive its owner.
  public let view: MatrixView

  /// A matrix [rows, columns] of zeros.
  ///
  /// - Parameters:
  ///   - rows: how many.
  ///   - columns: numbers of a row.
  ///   - isPlanned: whether it only counts, and has no memory.
  public init(rows: Int, columns: Int, isPlanned: Bool = false) {
    buffer = FloatBuffer(count: rows * columns, isPlanned: isPlanned)
    view = buffer.view(rows: rows, columns: columns)
  }

  /// Bytes of its floats.
  public var byteCount: Int { view.count * MemoryLayout<Float>.stride }
}
