import Hashing
import Tensors

extension SafetensorsTensor {
  /// XXH64 of some of the tensor's bytes, counted from its first.
  package func hash(bytes range: Range<Int>) -> UInt64 {
    // The range is checked against the tensor by the slice.
    unsafe XXH64.hash(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// Tells the system that some of the tensor's bytes will not be read soon.
  package func releasePages(bytes range: Range<Int>) {
    // The range is checked against the tensor by the slice; the bytes lie in a mapped file.
    unsafe MappedRanges.releasePages(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// The index, in row-major order, of the first element in `range` that is infinite or not a number.
  ///
  /// - Throws: `unsupportedType`.
  package func firstNonFinite(in range: Range<Int>) throws(SafetensorsError) -> Int? {
    let type = try floatType()
    precondition(
      range.lowerBound >= 0 && range.upperBound <= elementCount,
      "elements \(range) of \(elementCount) in \(name)")
    guard let base = unsafe bytes.baseAddress else { return nil }
    let found = unsafe HalfPrecision.firstNonFinite(
      base + range.lowerBound * type.byteCount, type, count: range.count)
    return found.map { $0 + range.lowerBound }
  }

  /// A hash of up to 1024 words spread evenly over the tensor's bytes, and of its length.
  ///
  /// Checkpoints of earlier versions have it in their fingerprint of the base. Nothing else should
  /// use it: a change between the words leaves it as it is.
  package func sampledHash() -> UInt64 {
    let bytes = unsafe self.bytes
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ UInt64(bytes.count)
    let words = bytes.count / 8
    let step = max(1, words / 1024)
    for word in stride(from: 0, to: words, by: step) {
      // The offset is below bytes.count by the bounds above.
      let value = unsafe bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
      hash = (hash ^ value) &* 0x0000_0100_0000_01b3
      hash ^= hash >> 29
    }
    for index in (words * 8)..<bytes.count {
      hash = unsafe (hash ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01b3
    }
    return hash
  }
}
