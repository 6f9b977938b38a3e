/// Lengths of examples: how many there are of each.
public struct LengthStatistics: Sendable {
  private var counts: [Int: Int] = [:]
  /// Number of lengths.
  public private(set) var count = 0
  /// Their sum.
  public private(set) var total = 0

  mutating func add(_ length: Int) {
    counts[length, default: 0] += 1
    count += 1
    total += length
  }

  /// The shortest; 0 where there is none.
  public var minimum: Int { counts.keys.min() ?? 0 }
  /// The longest; 0 where there is none.
  public var maximum: Int { counts.keys.max() ?? 0 }
  /// The mean; 0 where there is none.
  public var mean: Double { count == 0 ? 0 : Double(total) / Double(count) }

  /// The length that `share` of the examples do not exceed.
  public func quantile(_ share: Double) -> Int {
    var left = (Double(count) * share).rounded(.up)
    for length in counts.keys.sorted() {
      left -= Double(counts[length] ?? 0)
      if left <= 0 { return length }
    }
    return maximum
  }
}
