#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The one owner of a stretch of zero-filled `Float` memory.
///
/// ```swift
/// let buffer = FloatBuffer(count: 1024)
/// buffer.view(rows: 32, columns: 32).fill(1)
/// ```
///
/// The memory is freed when the owner goes; views of it must not outlive it. Large buffers start on
/// a 2 MiB boundary and ask for huge pages, small ones on a cache line. It does not grow: what a
/// step needs is known before the first one.
///
/// One that is only planned has a size and no memory: views of it may be made, not read or written.
public struct FloatBuffer: ~Copyable {
  /// Number of floats.
  public let count: Int
  /// First float.
  public let base: UnsafeMutablePointer<Float>
  /// Whether it has no memory.
  public var isPlanned: Bool { base >= UnsafeMutablePointer.unmapped }

  /// Allocates `count` floats, all zero.
  ///
  /// Ends the program where the system has no memory for them.
  ///
  /// - Parameters:
  ///   - count: numbers.
  ///   - isPlanned: whether only their number is wanted, and nothing is allocated.
  public init(count: Int, isPlanned: Bool = false) {
    precondition(count >= 0, "a buffer of \(count) floats")
    self.count = count
    base =
      isPlanned
      ? .unmapped
      : ZeroedMemory.allocate(byteCount: count * MemoryLayout<Float>.stride)
        .bindMemory(to: Float.self, capacity: max(count, 16))
  }

  deinit { if !isPlanned { free(base) } }

  /// The floats from `offset` on as a matrix, row-major.
  ///
  /// - Parameter rowStride: floats from one row's start to the next's; `columns` where not given.
  public func view(
    offset: Int = 0, rows: Int, columns: Int, rowStride: Int? = nil
  ) -> MatrixView {
    precondition(
      offset >= 0 && rows >= 0 && columns >= 0 && offset + rows * (rowStride ?? columns) <= count,
      "a view of [\(rows), \(columns)] at \(offset) in a buffer of \(count) floats")
    return MatrixView(base: base + offset, rows: rows, columns: columns, rowStride: rowStride)
  }

  /// The whole buffer as one row.
  public var all: MatrixView { view(rows: 1, columns: count) }
}

extension UnsafeMutablePointer<Float> {
  /// Where what is only planned seems to lie.
  ///
  /// No system maps addresses of more than 52 bits, so that whoever reads there is found out.
  static var unmapped: UnsafeMutablePointer<Float> {
    guard let address = UnsafeMutablePointer(bitPattern: 1 << 54) else {
      preconditionFailure("addresses of fewer than 64 bits")
    }
    return address
  }
}
