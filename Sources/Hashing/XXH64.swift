import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// XXH64 (Collet, xxHash specification 0.1.1): whether two pieces of memory hold the same bytes.
///
/// ```swift
/// XXH64.hash(Array("abc".utf8))  // 0x44bc2cf5ad770999
/// ```
///
/// A difference escapes by chance alone, once in 2⁶⁴. The hash is the same in every process, unlike
/// Swift's `Hasher`, and reads memory about as fast as a core can. It is no defence against somebody
/// who wants two hashes to agree. The corresponding C function is `ck_xxh64`.
package enum XXH64 {
  /// Hash of bytes at any alignment.
  package static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    ck_xxh64(bytes.baseAddress, Int64(bytes.count), seed)
  }

  /// Hash of the elements of an array as they lie in memory.
  package static func hash(_ elements: [some BitwiseCopyable], seed: UInt64 = 0) -> UInt64 {
    elements.withUnsafeBytes { hash($0, seed: seed) }
  }

  /// Hash of a text's UTF-8.
  package static func hash(_ text: String, seed: UInt64 = 0) -> UInt64 {
    hash(Array(text.utf8), seed: seed)
  }

  /// Hash of a file's bytes; nil where it cannot be read.
  package static func hash(file path: String) -> UInt64? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { _ = close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    let count = Int(status.st_size)
    if count == 0 { return hash([UInt8]()) }
    guard let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0),
      address != MAP_FAILED
    else { return nil }
    defer { munmap(address, count) }
    return hash(UnsafeRawBufferPointer(start: address, count: count))
  }

  /// Sixteen hexadecimal digits.
  package static func text(_ hash: UInt64) -> String {
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
