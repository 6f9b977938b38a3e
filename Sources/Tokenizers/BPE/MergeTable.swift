/// Which pair of tokens merges into which, and how early.
struct MergeTable: Sendable {
  /// No merge.
  static let none = UInt32.max

  private struct Slot: Sendable {
    var pair: UInt64
    var rank: UInt32
    var token: UInt32
  }

  private var slots: [Slot]
  private static let empty = Slot(pair: 0, rank: none, token: 0)

  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 + 2 { size *= 2 }
    slots = [Slot](repeating: Self.empty, count: size)
  }

  /// Adds a merge; one that is there already is replaced, as the reference does.
  mutating func set(_ left: UInt32, _ right: UInt32, rank: UInt32, token: UInt32) {
    let pair = UInt64(left) << 32 | UInt64(right)
    var index = place(pair)
    while slots[index].rank != Self.none, slots[index].pair != pair {
      index = (index + 1) & (slots.count - 1)
    }
    slots[index] = Slot(pair: pair, rank: rank, token: token)
  }

  /// Rank and result of a pair; the rank is `none` where it does not merge.
  @inline(__always)
  func find(_ left: UInt32, _ right: UInt32) -> (rank: UInt32, token: UInt32) {
    let pair = UInt64(left) << 32 | UInt64(right)
    var index = place(pair)
    while slots[index].rank != Self.none {
      if slots[index].pair == pair { return (slots[index].rank, slots[index].token) }
      index = (index + 1) & (slots.count - 1)
    }
    return (Self.none, 0)
  }

  @inline(__always)
  private func place(_ pair: UInt64) -> Int {
    Int(truncatingIfNeeded: (pair &* 0x9e37_79b9_7f4a_7c15) >> 32) & (slots.count - 1)
  }
}
