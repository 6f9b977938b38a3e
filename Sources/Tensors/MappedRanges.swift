import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The mapped files of this process, so that one that can no longer be read is named.
///
/// A file that is cut short while it is mapped makes reading its memory a SIGBUS. Of what is registered
/// here the process says which file it was, and ends with the status of a wrong input.
public enum MappedRanges {
  /// Remembers a mapping until ``remove(_:)``.
  @unsafe
  public static func add(_ bytes: UnsafeRawBufferPointer, path: String) {
    guard let base = bytes.baseAddress else { return }
    ck_mapping_add(base, bytes.count, path)
  }

  /// Forgets a mapping, before it goes.
  @unsafe
  public static func remove(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    ck_mapping_remove(base)
  }

  /// Tells the system that some bytes of a mapped file will not be read soon.
  ///
  /// They count no longer as this process's memory; reading them brings them back. Never for memory
  /// of this process alone, which would be lost.
  @unsafe
  public static func releasePages(_ bytes: UnsafeRawBufferPointer) {
    let page = sysconf(Int32(_SC_PAGESIZE))
    let start = Int(bitPattern: bytes.baseAddress)
    let end = start + bytes.count
    // Pages at the ends are shared with neighbours.
    let first = (start + page - 1) / page * page
    let last = end / page * page
    if last > first {
      madvise(UnsafeMutableRawPointer(bitPattern: first), last - first, MADV_DONTNEED)
    }
  }

  /// What messages begin with, and how the process ends; a signal handler calls `end`.
  public static func report(prefix: String, end: @convention(c) (_ status: Int32) -> Void) {
    ck_mapping_report(prefix, end)
  }
}
