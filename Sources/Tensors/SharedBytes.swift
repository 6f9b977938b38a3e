import Diagnostics
import Hashing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why memory that processes share could not be had.
public struct SharedMemoryError: ClassifiedError {
  /// Bytes that were asked for.
  public let byteCount: Int
  /// What was tried, each with the system's reason.
  public let attempts: [String]

  /// The node is to blame, not the input.
  public var errorClass: ErrorClass { .failure }

  /// What, where, and how to mend it.
  public var description: String {
    """
    No room for \(byteCount >> 20) MiB of memory that the ranks of this node share \
    (\(attempts.joined(separator: "; "))). Make room there, set TMPDIR to a directory that has it, \
    or use what needs no copy of the base: --precision f32, or a base stored in bf16.
    """
  }
}

/// The owner of a stretch of memory that processes of a node may share, at first all zero.
///
/// ```swift
/// let path = try SharedBytes.makeFile(byteCount: 1 << 20)  // in one process
/// let bytes = try SharedBytes(file: path, byteCount: 1 << 20)  // in all of them
/// SharedBytes.removeFile(path)  // when all have it
/// ```
///
/// It is filled by whoever holds it, each a part, and then sealed. It does not know who the others
/// are, nor when they are done.
public final class SharedBytes {
  /// First byte, at the start of a page.
  public let base: UnsafeMutableRawPointer
  /// Number of bytes.
  public let byteCount: Int
  /// The file that they stand for, kept open to make room in it; -1 where there is none.
  private let file: CInt

  /// Memory of this process alone.
  ///
  /// - Parameter byteCount: number of bytes.
  /// - Parameter likeFile: whether pages that are released keep what is in them, as those of a
  ///   file.
  public init(byteCount: Int, likeFile: Bool = false) throws(SharedMemoryError) {
    base = try SharedBytes.map(
      byteCount, file: -1, flags: (likeFile ? MAP_SHARED : MAP_PRIVATE) | SharedBytes.anonymous)
    self.byteCount = byteCount
    file = -1
    #if os(Linux)
      _ = madvise(base, byteCount, MADV_HUGEPAGE)
    #endif
  }

  /// The memory that a file made by `makeFile(byteCount:)` stands for.
  public init(file path: String, byteCount: Int) throws(SharedMemoryError) {
    let file = open(path, O_RDWR | O_CLOEXEC)
    guard file >= 0 else { throw SharedBytes.failure(byteCount, "opening \(path)") }
    do throws(SharedMemoryError) {
      base = try SharedBytes.map(byteCount, file: file, flags: MAP_SHARED)
    } catch {
      close(file)
      throw error
    }
    self.byteCount = byteCount
    self.file = file
  }

  deinit {
    munmap(base, max(byteCount, 1))
    if file >= 0 { close(file) }
  }

  /// Makes room for bytes of a file that was made without it, before they are written.
  ///
  /// - Throws: where there is none; writing would be a SIGBUS.
  public func reserve(_ range: Range<Int>) throws(SharedMemoryError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "\(range) of \(byteCount)")
    guard file >= 0, !range.isEmpty else { return }
    let status = SharedBytes.reserve(file, range)
    guard status == 0 else {
      throw SharedMemoryError(
        byteCount: range.count, attempts: [String(cString: strerror(status))])
    }
  }

  /// XXH64 of some of the bytes.
  public func hash(_ range: Range<Int>) -> UInt64 {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "\(range) of \(byteCount)")
    return XXH64.hash(
      UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Lets this process read the memory and no longer write it.
  public func seal() { mprotect(base, max(byteCount, 1), PROT_READ) }

  /// Gives the memory of a range back, of all processes that share it; it reads as zeros then.
  ///
  /// Whole pages alone, and only of memory that processes share or that is like a file's.
  public func discard(_ range: Range<Int>) {
    #if os(Linux)
      let page = sysconf(Int32(_SC_PAGESIZE))
      let first = (range.lowerBound + page - 1) / page * page
      let last = range.upperBound / page * page
      guard first >= 0, last > first, last <= byteCount else { return }
      // The system asks that the mapping be writable.
      mprotect(base + first, last - first, PROT_READ | PROT_WRITE)
      madvise(base + first, last - first, MADV_REMOVE)
      mprotect(base + first, last - first, PROT_READ)
    #endif
  }

  /// Makes a file of zeros whose room is certain, in memory (`/dev/shm`) where there is enough,
  /// else in the directory for temporary files.
  ///
  /// - Parameters:
  ///   - byteCount: size of the file.
  ///   - reserved: the bytes for which there must be room now; all of them if not given. For others
  ///     ``reserve(_:)`` makes it.
  ///   - directories: where it may lie, in the order in which they are tried.
  /// - Returns: its path; it is to be removed as soon as all processes have it open.
  public static func makeFile(
    byteCount: Int, reserved: [Range<Int>]? = nil,
    directories: [String] = SharedBytes.directories
  ) throws(SharedMemoryError) -> String {
    var attempts: [String] = []
    for directory in directories {
      let path = "\(directory)/swift-peft-train-\(getpid())-\(UInt32.random(in: .min ... .max))"
      let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      guard file >= 0 else {
        attempts.append("\(directory): \(String(cString: strerror(errno)))")
        continue
      }
      defer { close(file) }
      // Room is taken now: later, a missing page would be a SIGBUS.
      var status = ftruncate(file, off_t(max(byteCount, 1))) == 0 ? 0 : errno
      for range in reserved ?? [0..<max(byteCount, 1)] where status == 0 && !range.isEmpty {
        status = reserve(file, range)
      }
      if status == 0 { return path }
      unlink(path)
      attempts.append("\(directory): \(String(cString: strerror(status)))")
    }
    throw SharedMemoryError(byteCount: byteCount, attempts: attempts)
  }

  /// Takes the file's name away; whoever has it mapped keeps the memory.
  public static func removeFile(_ path: String) { unlink(path) }

  /// Where `makeFile(byteCount:)` looks for room.
  public static var directories: [String] {
    ["/dev/shm", getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"]
  }

  private static func reserve(_ file: CInt, _ range: Range<Int>) -> CInt {
    #if canImport(Darwin)
      return 0
    #else
      return posix_fallocate(file, off_t(range.lowerBound), off_t(range.count))
    #endif
  }

  private static var anonymous: CInt {
    #if canImport(Darwin)
      MAP_ANON
    #else
      MAP_ANONYMOUS
    #endif
  }

  private static func map(
    _ byteCount: Int, file: CInt, flags: CInt
  ) throws(SharedMemoryError) -> UnsafeMutableRawPointer {
    let address = mmap(nil, max(byteCount, 1), PROT_READ | PROT_WRITE, flags, file, 0)
    guard let address, address != MAP_FAILED else { throw failure(byteCount, "mapping it") }
    return address
  }

  private static func failure(_ byteCount: Int, _ what: String) -> SharedMemoryError {
    SharedMemoryError(
      byteCount: byteCount, attempts: ["\(what): \(String(cString: strerror(errno)))"])
  }
}

extension WeightMatrix {
  /// Tells the system that the weight's pages in its file will not be read soon.
  ///
  /// They count no longer as this process's memory; reading them brings them back. Only for weights
  /// in mapped files.
  public func releasePages() {
    MappedRanges.releasePages(UnsafeRawBufferPointer(start: storage, count: byteCount))
  }
}
