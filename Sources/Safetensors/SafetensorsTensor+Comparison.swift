#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension SafetensorsTensor {
  /// Whether another tensor has the same shape, stored type and bytes.
  package func isIdentical(to other: SafetensorsTensor) -> Bool {
    guard shape == other.shape, storedType == other.storedType else { return false }
    let (mine, others) = unsafe (bytes, other.bytes)
    guard let first = mine.baseAddress, let second = others.baseAddress else {
      return unsafe mine.isEmpty && others.isEmpty
    }
    // Both mappings are alive here, and as long as each other: types and shapes are equal.
    return unsafe memcmp(first, second, mine.count) == 0
  }
}
