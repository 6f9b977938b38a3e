#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Large memory, as those have it who own it.
public enum ZeroedMemory {
  /// Allocates memory, all zero, that ``giveBack(_:)`` frees.
  ///
  /// What is large starts on a 2 MiB boundary and asks for huge pages, what is small on a cache line.
  /// Where the system has none the program ends with a sentence on standard error: what is allocated
  /// in the middle of things cannot be given up, and what can be known beforehand was refused before.
  ///
  /// - Parameter byteCount: at least 64 are allocated.
  public static func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
    let hugePage = 2 << 20
    let bytes = max(byteCount, 64)
    let alignment = bytes >= 2 * hugePage ? hugePage : 64
    var memory: UnsafeMutableRawPointer?
    let status = posix_memalign(&memory, alignment, bytes)
    guard status == 0, let memory else { end(bytes) }
    #if os(Linux)
      // Must come before the first touch: a page that exists keeps its size.
      if alignment == hugePage { _ = madvise(memory, bytes, MADV_HUGEPAGE) }
    #endif
    memset(memory, 0, bytes)
    return memory
  }

  /// Frees it.
  public static func giveBack(_ memory: UnsafeMutableRawPointer) { free(memory) }

  /// Ends the program, with the status of a failed run; a launcher ends its other ranks.
  private static func end(_ bytes: Int) -> Never {
    let text =
      "error: out of memory: the system refused \(bytes) bytes (\(bytes >> 20) MiB). Another program may "
      + "have it, or a limit is lower than what the run needs ('ulimit -v', a job's --mem): "
      + "'swift-peft-train plan' says how much that is.\n"
    // No buffer of a stream, for which there may be no memory either.
    _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
    _exit(1)
  }
}
