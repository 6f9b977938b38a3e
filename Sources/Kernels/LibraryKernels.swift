#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Which kernels a library chose for this processor, where it says so.
public enum LibraryKernels {
  /// What OpenBLAS calls the processor: `Zen`, `SkylakeX`; nil in a program without it.
  ///
  /// The corresponding C function is `openblas_get_corename`.
  public static var openBLAS: String? {
    typealias Name = @convention(c) () -> UnsafePointer<CChar>?
    guard let symbol = dlsym(nil, "openblas_get_corename") else { return nil }
    return unsafeBitCast(symbol, to: Name.self)().map { String(cString: $0) }
  }
}
