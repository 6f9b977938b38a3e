/// A set of Unicode scalars: one bit for each, so that a question costs one load.
struct ScalarSet: Sendable, Equatable {
  /// Scalars there are, and 64-bit words for them.
  static let limit = 0x110000
  private static let wordCount = limit / 64

  private(set) var words: [UInt64]

  /// The empty set.
  init() { words = [UInt64](repeating: 0, count: Self.wordCount) }

  /// The scalars of some ranges.
  init(_ ranges: ClosedRange<UInt32>...) {
    self.init()
    for range in ranges { insert(range) }
  }

  /// Whether `scalar` is in it.
  @inline(__always)
  func contains(_ scalar: UInt32) -> Bool {
    words[Int(scalar >> 6)] >> UInt64(scalar & 63) & 1 != 0
  }

  mutating func insert(_ range: ClosedRange<UInt32>) {
    var scalar = range.lowerBound
    while scalar <= range.upperBound {
      let first = scalar & 63
      let last = min(63, first + (range.upperBound - scalar))
      words[Int(scalar >> 6)] |= (~0 << UInt64(first)) & (~0 >> UInt64(63 - last))
      scalar += last - first + 1
    }
  }

  mutating func formUnion(_ other: ScalarSet) {
    for index in words.indices { words[index] |= other.words[index] }
  }

  mutating func formIntersection(_ other: ScalarSet) {
    for index in words.indices { words[index] &= other.words[index] }
  }

  /// Everything else.
  var inverted: ScalarSet {
    var result = self
    for index in words.indices { result.words[index] = ~words[index] }
    return result
  }
}
