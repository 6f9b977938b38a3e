/// Deals a global batch's micro-batches to ranks so that all have about as many tokens to do.
///
/// ```swift
/// let dealer = MicroBatchDealer(worldSize: 3)
/// for index in dealer.microBatches(of: batch, from: split, rank: 1) { … batch.microBatch(index) … }
/// ```
///
/// The longest goes first, to whoever has least (Graham: "Bounds on multiprocessing timing
/// anomalies", SIAM J. Appl. Math. 17, 1969: at most 4/3 of the best). Every rank computes the same
/// deal. Since gradients are added exactly, who does what changes the time and nothing else.
public final class MicroBatchDealer {
  /// Ranks that share the work.
  public let worldSize: Int
  // Kept from step to step, so that dealing allocates nothing once they are large enough.
  private var byCost: [(cost: Int, index: Int)] = []
  private var load: [Int]
  private var dealt: [Int] = []

  /// A dealer for `worldSize` ranks.
  public init(worldSize: Int) {
    precondition(worldSize > 0, "\(worldSize) ranks")
    self.worldSize = worldSize
    load = Array(repeating: 0, count: worldSize)
  }

  /// The most micro-batches that a rank is ever dealt of a global batch's `count`.
  ///
  /// Every example has tokens, so the first `worldSize` micro-batches go to as many ranks.
  public func mostMicroBatches(of count: Int) -> Int { max(count - worldSize, 0) + 1 }

  /// The numbers of the micro-batches that `rank` does, growing; none where there are fewer
  /// micro-batches than ranks.
  public func microBatches(of batch: GlobalBatch, from split: TokenSplit, rank: Int) -> [Int] {
    precondition(rank >= 0 && rank < worldSize, "rank \(rank) of \(worldSize)")
    byCost.removeAll(keepingCapacity: true)
    for index in 0..<batch.microBatchCount {
      var tokens = 0
      for example in batch.microBatch(index) { tokens += split.tokenCount(of: example) }
      byCost.append((tokens, index))
    }
    sortByCost()
    for rank in 0..<worldSize { load[rank] = 0 }
    dealt.removeAll(keepingCapacity: true)
    for (cost, index) in byCost {
      var least = 0
      for other in 1..<max(1, worldSize) where load[other] < load[least] { least = other }
      load[least] += cost
      if least == rank { insert(index) }
    }
    return dealt
  }

  /// Keeps the rank's numbers growing; they are a handful.
  private func insert(_ index: Int) {
    var place = dealt.count
    dealt.append(index)
    while place > 0 && dealt[place - 1] > index {
      dealt[place] = dealt[place - 1]
      place -= 1
    }
    dealt[place] = index
  }

  /// Heapsort, costliest first and of equals the first one: in place, where the standard library's
  /// sort allocates.
  private func sortByCost() {
    for root in stride(from: byCost.count / 2 - 1, through: 0, by: -1) {
      sink(root, below: byCost.count)
    }
    for end in stride(from: byCost.count - 1, to: 0, by: -1) {
      byCost.swapAt(0, end)
      sink(0, below: end)
    }
  }

  private func sink(_ start: Int, below end: Int) {
    var root = start
    while 2 * root + 1 < end {
      var child = 2 * root + 1
      if child + 1 < end && comes(byCost[child], before: byCost[child + 1]) { child += 1 }
      guard comes(byCost[root], before: byCost[child]) else { return }
      byCost.swapAt(root, child)
      root = child
    }
  }

  /// Whether `first` is dealt before `second`; ties are broken by number, so the deal is unique.
  private func comes(
    _ first: (cost: Int, index: Int), before second: (cost: Int, index: Int)
  ) -> Bool {
    first.cost != second.cost ? first.cost > second.cost : first.index < second.index
  }
}
