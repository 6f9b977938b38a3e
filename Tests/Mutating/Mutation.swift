/// Changes bytes at random: what a reader must take without a crash.
///
/// ```swift
/// var mutation = Mutation(seed: 1)
/// let damaged = mutation.changed(file)
/// ```
package struct Mutation {
  private var state: UInt64

  /// Changes that follow from a seed.
  package init(seed: UInt64) { state = seed }

  /// The next number below `bound` (SplitMix64).
  package mutating func below(_ bound: Int) -> Int {
    state &+= 0x9e37_79b9_7f4a_7c15
    var x = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
    return Int((x ^ (x >> 31)) % UInt64(max(bound, 1)))
  }

  /// The bytes with one to four changes: a byte set or flipped, a stretch taken out, repeated or put
  /// elsewhere, a number of text or of 16 to 64 bits made another, brackets put in, the end cut off.
  ///
  /// Every fourth is at the beginning, where formats say what is behind.
  package mutating func changed(_ bytes: [UInt8]) -> [UInt8] {
    var result = bytes
    for _ in 0...below(4) where !result.isEmpty {
      let start = below(below(4) == 0 ? min(result.count, 1024) : result.count)
      let end = min(result.count, start + 1 + below(below(3) == 0 ? 200 : 8))
      let stretch = Array(result[start..<end])
      switch below(9) {
      case 0: result[start] = UInt8(below(256))
      case 1: result[start] ^= 1 << UInt8(below(8))
      case 2: result.removeSubrange(start..<end)
      case 3: result.insert(contentsOf: stretch, at: below(result.count + 1))
      case 4:
        for _ in 0..<below(60) { result.insert(contentsOf: stretch, at: start) }
      case 5: result.replaceSubrange(start..<end, with: Array("99999999999".utf8))
      case 6: result.insert(contentsOf: Array("[({*+?|\\\"".utf8.shuffledBy(below(9))), at: start)
      case 7: setNumber(in: &result, at: start)
      default: result.removeSubrange(start...)
      }
    }
    return result
  }

  /// Puts a little-endian number in the place of what is there: one at an edge of some width, or one
  /// that is near the number that was there.
  private mutating func setNumber(in bytes: inout [UInt8], at start: Int) {
    let width = [2, 4, 8][below(3)]
    guard start + width <= bytes.count else { return }
    var number: UInt64 = 0
    for index in 0..<width { number |= UInt64(bytes[start + index]) << UInt64(8 * index) }
    switch below(3) {
    case 0: number = [0, 1, 0x7f, 0xff, 0x7fff, 0x7fff_ffff, 0xffff_ffff][below(7)]
    case 1: number = [UInt64(Int64.max), .max, 1 << 63, 1 << 62, 1 << 32, 1 << 31][below(6)]
    default: number &+= UInt64(below(5)) &- 2
    }
    for index in 0..<width {
      bytes[start + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
    }
  }
}

extension String.UTF8View {
  fileprivate func shuffledBy(_ count: Int) -> [UInt8] { Array(dropFirst(count)) + prefix(count) }
}
