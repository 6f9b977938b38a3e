/// A node's part of a deal, for its ranks to take from, costliest first.
///
/// Who takes which is decided while they compute: a rank whose core is disturbed takes fewer. The first
/// few are each rank's own, so that a rank has no more than ``MicroBatchDealer/mostMicroBatches(of:)``.
package final class NodeDeal {
  private let dealer: MicroBatchDealer
  private let isOnNode: [Bool]
  private let localRank, localSize: Int
  private var dealt: [Int] = []
  private var hasOwn = false

  /// The part of the ranks that are on a node.
  ///
  /// - Parameters:
  ///   - dealer: what deals a batch to the ranks of all nodes.
  ///   - isOnNode: of each rank of the job, whether it is.
  ///   - localRank: this rank's number on the node.
  package init(_ dealer: MicroBatchDealer, isOnNode: [Bool], localRank: Int) {
    precondition(isOnNode.count == dealer.worldSize, "\(isOnNode.count) ranks")
    self.dealer = dealer
    self.isOnNode = isOnNode
    self.localRank = localRank
    localSize = isOnNode.count { $0 }
  }

  /// Deals a batch.
  package func begin(_ batch: GlobalBatch, from split: TokenSplit) {
    dealt.removeAll(keepingCapacity: true)
    dealer.deal(batch, from: split) { index, rank in
      if isOnNode[rank] { dealt.append(index) }
    }
    hasOwn = true
  }

  /// The number of the micro-batch that this rank does next; nil where none is left.
  ///
  /// - Parameter take: the next of so many numbers that no other rank of the node took.
  package func next(_ take: (_ count: Int) -> Int?) -> Int? {
    if hasOwn {
      hasOwn = false
      return localRank < dealt.count ? dealt[localRank] : nil
    }
    let rest = dealt.count - localSize
    guard rest > 0, let place = take(rest) else { return nil }
    return dealt[localSize + place]
  }
}
