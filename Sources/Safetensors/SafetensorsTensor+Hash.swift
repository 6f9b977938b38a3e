extension SafetensorsTensor {
  /// A hash of up to 1024 words spread evenly over the tensor's bytes, and of its length.
  ///
  /// It tells one base from another without reading all of it: a model of many gigabytes is
  /// recognised in milliseconds. It is no proof that every byte is the same.
  public func sampledHash() -> UInt64 {
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
