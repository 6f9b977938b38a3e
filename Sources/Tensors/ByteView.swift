/// Bytes that lie in memory that somebody else keeps.
///
/// `@safe` stands for this: whoever hands one out says how long the bytes stay, as with `MatrixView`.
@safe
public struct ByteView {
  /// The first byte.
  public let base: UnsafeMutableRawPointer?
  /// Number of bytes.
  public let count: Int

  /// Describes bytes.
  public init(_ base: UnsafeMutableRawPointer?, count: Int) {
    (self.base, self.count) = (base, count)
  }
}

extension SharedBytes {
  /// Some of the bytes, which stay as long as this does.
  public func view(_ range: Range<Int>) -> ByteView {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "\(range) of \(byteCount)")
    return ByteView(base + range.lowerBound, count: range.count)
  }
}
