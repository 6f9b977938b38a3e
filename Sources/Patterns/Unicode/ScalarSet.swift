/// A set of Unicode scalars: one bit for each, so that a question costs one load.
package struct ScalarSet: Sendable, Hashable {
  /// Scalars there are, and 64-bit words for them.
  static let limit = 0x110000
  private static let wordCount = limit / 64

  @usableFromInline private(set) package var words: [UInt64]

  /// The empty set.
  package init() { words = [UInt64](repeating: 0, count: Self.wordCount) }

  /// The scalars of some ranges.
  package init(_ ranges: ClosedRange<UInt32>...) {
    self.init()
    for range in ranges { insert(range) }
  }

  /// Whether `scalar` is in it.
  @inlinable @inline(__always)
  package func contains(_ scalar: UInt32) -> Bool {
    words[Int(scalar >> 6)] >> UInt64(scalar & 63) & 1 != 0
  }

  package mutating func insert(_ range: ClosedRange<UInt32>) {
    var scalar = range.lowerBound
    while scalar <= range.upperBound {
      let first = scalar & 63
      let last = min(63, first + (range.upperBound - scalar))
      words[Int(scalar >> 6)] |= (~0 << UInt64(first)) & (~0 >> UInt64(63 - last))
      scalar += last - first + 1
    }
  }

  package mutating func formUnion(_ other: ScalarSet) {
    for index in words.indices { words[index] |= other.words[index] }
  }

  package mutating func formIntersection(_ other: ScalarSet) {
    for index in words.indices { words[index] &= other.words[index] }
  }

  /// Its one scalar, where it has just one.
  package var only: UInt32? {
    guard let index = words.firstIndex(where: { $0 != 0 }), words[index].nonzeroBitCount == 1,
      !words[(index + 1)...].contains(where: { $0 != 0 })
    else { return nil }
    return UInt32(64 * index + words[index].trailingZeroBitCount)
  }

  /// Everything else.
  package var inverted: ScalarSet {
    var result = self
    for index in words.indices { result.words[index] = ~words[index] }
    return result
  }
}
