import CKernels

extension Compute {
  /// Whether the system lets this process start so many threads, tried and undone.
  public static func canStart(threads: Int) -> Bool {
    guard let count = CInt(exactly: threads), let pool = ck_pool_create(count) else { return false }
    ck_pool_destroy(pool)
    return true
  }
}
