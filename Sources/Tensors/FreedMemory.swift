#if canImport(Glibc)
  import Glibc
#endif

/// Memory that was freed and that the allocator still holds.
public enum FreedMemory {
  /// Gives it back to the system, so that the process is no larger than what it uses.
  ///
  /// The allocator keeps freed memory for what comes next; where the next thing is to be measured
  /// by itself, that would count for it. The corresponding C function is `malloc_trim` (glibc), which
  /// Swift's module map leaves out and which other C libraries do not have: there nothing happens.
  public static func giveBack() {
    #if canImport(Glibc)
      typealias Trim = @convention(c) (Int) -> CInt
      guard let symbol = dlsym(nil, "malloc_trim") else { return }
      _ = unsafeBitCast(symbol, to: Trim.self)(0)
    #endif
  }
}
