/// Deals a global batch's micro-batches to ranks so that all have about as much to do.
///
/// ```swift
/// let dealer = MicroBatchDealer(worldSize: 3)
/// for index in dealer.microBatches(of: batch, from: split, rank: 1) { … batch.microBatch(index) … }
/// ```
///
/// The longest goes first, to whoever has least (`LongestFirst`). Every rank computes the same
/// deal. Since gradients are added exactly, who does what changes the time and nothing else.
public final class MicroBatchDealer {
  /// Ranks that share the work.
  public let worldSize: Int
  private let cost: (_ example: Int, _ split: TokenSplit) -> Int
  // Kept from step to step, so that dealing allocates nothing once they are large enough.
  private var byCost = LongestFirst()
  private var ranks: LeastLoaded<Int>
  private var dealt: [Int] = []

  /// A dealer for `worldSize` ranks.
  ///
  /// - Parameters:
  ///   - worldSize: ranks, at least 1.
  ///   - cost: what an example costs; its tokens where nobody knows better.
  public init(
    worldSize: Int,
    cost: @escaping (_ example: Int, _ split: TokenSplit) -> Int = { $1.tokenCount(of: $0) }
  ) {
    precondition(worldSize > 0, "\(worldSize) ranks")
    self.worldSize = worldSize
    self.cost = cost
    ranks = LeastLoaded(count: worldSize)
  }

  /// The most micro-batches that a rank is ever dealt of a global batch's `count`.
  ///
  /// The first `worldSize` micro-batches go to as many ranks.
  public func mostMicroBatches(of count: Int) -> Int { max(count - worldSize, 0) + 1 }

  /// The numbers of the micro-batches that `rank` does, growing; none where there are fewer
  /// micro-batches than ranks.
  public func microBatches(of batch: GlobalBatch, from split: TokenSplit, rank: Int) -> [Int] {
    precondition(rank >= 0 && rank < worldSize, "rank \(rank) of \(worldSize)")
    dealt.removeAll(keepingCapacity: true)
    deal(batch, from: split) { index, owner in
      if owner == rank { insert(index) }
    }
    return dealt
  }

  /// Deals a batch: tells of each micro-batch, costliest first, whose it is.
  package func deal(
    _ batch: GlobalBatch, from split: TokenSplit, to take: (_ index: Int, _ rank: Int) -> Void
  ) {
    byCost.removeAll()
    for index in 0..<batch.microBatchCount {
      var sum = 0
      for example in batch.microBatch(index) { sum += cost(example, split) }
      byCost.append(cost: sum, index: index)
    }
    byCost.sort()
    // The first ones to as many ranks, whatever they cost.
    ranks.begin { $0 < byCost.items.count ? byCost.items[$0].cost : 0 }
    for (place, (cost, index)) in byCost.items.enumerated() {
      take(index, place < worldSize ? place : ranks.take(cost).worker)
    }
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
}
