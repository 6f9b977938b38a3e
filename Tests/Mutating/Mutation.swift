/// Changes bytes at random: what a reader must take without a crash.
///
/// ```swift
/// var mutation = Mutation(seed: 1)
/// let damaged = mutation.changed(file)
/// ```
public struct Mutation {
  private var state: UInt64

  /// Changes that follow from a seed.
  public init(seed: UInt64) { state = seed }

  /// The next number below `bound` (SplitMix64).
  public mutating func below(_ bound: Int) -> Int {
    state &+= 0x9e37_79b9_7f4a_7c15
    var x = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
    return Int((x ^ (x >> 31)) % UInt64(max(bound, 1)))
  }

  /// The bytes with one to four changes: a byte set or flipped, a stretch taken out, repeated or put
  /// elsewhere, a number made great, a bracket repeated.
  public mutating func changed(_ bytes: [UInt8]) -> [UInt8] {
    var result = bytes
    for _ in 0...below(4) where !result.isEmpty {
      let start = below(result.count)
      let end = min(result.count, start + 1 + below(below(3) == 0 ? 200 : 8))
      let stretch = Array(result[start..<end])
      switch below(8) {
      case 0: result[start] = UInt8(below(256))
      case 1: result[start] ^= 1 << UInt8(below(8))
      case 2: result.removeSubrange(start..<end)
      case 3: result.insert(contentsOf: stretch, at: below(result.count + 1))
      case 4:
        for _ in 0..<below(60) { result.insert(contentsOf: stretch, at: start) }
      case 5: result.replaceSubrange(start..<end, with: Array("99999999999".utf8))
      case 6: result.insert(contentsOf: Array("[({*+?|\\\"".utf8.shuffledBy(below(9))), at: start)
      default: result.removeSubrange(start...)
      }
    }
    return result
  }
}

extension String.UTF8View {
  fileprivate func shuffledBy(_ count: Int) -> [UInt8] { Array(dropFirst(count)) + prefix(count) }
}
