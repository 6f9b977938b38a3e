/// Work that is handed out costliest first, to whoever has least.
///
/// Graham: "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17, 1969: at most 4/3 of
/// the best. Ties are broken by number, so what comes of it is unique. Kept from step to step, so that
/// it allocates nothing once it is large enough.
struct LongestFirst {
  /// What there is to do, in the order in which it is handed out once it is sorted.
  private(set) var items: [(cost: Int, index: Int)] = []

  /// Forgets everything.
  mutating func removeAll() { items.removeAll(keepingCapacity: true) }

  /// Adds a piece of work.
  mutating func append(cost: Int, index: Int) { items.append((cost, index)) }

  /// Heapsort, costliest first and of equals the first one: in place, where the standard library's
  /// sort allocates.
  mutating func sort() {
    for root in stride(from: items.count / 2 - 1, through: 0, by: -1) {
      sink(root, below: items.count)
    }
    for end in stride(from: items.count - 1, to: 0, by: -1) {
      items.swapAt(0, end)
      sink(0, below: end)
    }
  }

  private mutating func sink(_ start: Int, below end: Int) {
    var root = start
    while 2 * root + 1 < end {
      var child = 2 * root + 1
      if child + 1 < end && Self.comes(items[child], before: items[child + 1]) { child += 1 }
      guard Self.comes(items[root], before: items[child]) else { return }
      items.swapAt(root, child)
      root = child
    }
  }

  private static func comes(
    _ first: (cost: Int, index: Int), before second: (cost: Int, index: Int)
  ) -> Bool {
    first.cost != second.cost ? first.cost > second.cost : first.index < second.index
  }
}
