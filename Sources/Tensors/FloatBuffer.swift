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
public struct FloatBuffer: ~Copyable {
  /// Number of floats.
  public let count: Int
  /// First float.
  public let base: UnsafeMutablePointer<Float>

  /// Allocates `count` floats, all zero.
  public init(count: Int) {
    precondition(count >= 0, "a buffer of \(count) floats")
    self.count = count
    let hugePage = 2 << 20
    let bytes = max(count * MemoryLayout<Float>.stride, 64)
    let alignment = bytes >= 2 * hugePage ? hugePage : 64
    var memory: UnsafeMutableRawPointer?
    let status = posix_memalign(&memory, alignment, bytes)
    guard status == 0, let memory else {
      preconditionFailure("out of memory: \(bytes) bytes were asked for")
    }
    #if os(Linux)
      // Must come before the first touch: a page that exists keeps its size.
      if alignment == hugePage { _ = madvise(memory, bytes, MADV_HUGEPAGE) }
    #endif
    memset(memory, 0, bytes)
    base = memory.bindMemory(to: Float.self, capacity: max(count, 16))
  }

  deinit { free(base) }

  /// The floats from `offset` on as a matrix, row-major and without gaps.
  public func view(offset: Int = 0, rows: Int, columns: Int) -> MatrixView {
    precondition(
      offset >= 0 && rows >= 0 && columns >= 0 && offset + rows * columns <= count,
      "a view of [\(rows), \(columns)] at \(offset) in a buffer of \(count) floats")
    return MatrixView(base: base + offset, rows: rows, columns: columns)
  }

  /// The whole buffer as one row.
  public var all: MatrixView { view(rows: 1, columns: count) }
}
