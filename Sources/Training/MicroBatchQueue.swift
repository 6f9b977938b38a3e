import DataParallel
import Datasets
import Model

/// Hands this rank its micro-batches, one when the last is done.
///
/// They are dealt to nodes by what they cost, and within a node each goes to whichever rank is free:
/// gradients are added exactly in any order, so who computes what changes the time and nothing else.
/// Between nodes the deal is fixed. Taking across them would need a rank that answers while it
/// computes.
final class MicroBatchQueue {
  /// The most that a rank may be handed of a step.
  let mostMicroBatches: Int
  private let deal: NodeDeal
  private let counter: SharedCounter
  private let split: TokenSplit
  private var round = 0

  /// Called by all ranks.
  ///
  /// - Parameter arithmetic: what examples cost.
  init(
    _ schedule: BatchSchedule, of split: TokenSplit, arithmetic: DecoderArithmetic,
    communicator: Communicator
  ) throws(MPIError) {
    let dealer = MicroBatchDealer(worldSize: communicator.worldSize, arithmetic: arithmetic)
    mostMicroBatches = dealer.mostMicroBatches(of: schedule.mostMicroBatches)
    var leaders = [Int64](repeating: 0, count: communicator.worldSize)
    try communicator.allGather([Int64(communicator.nodeLeader)], into: &leaders)
    deal = NodeDeal(
      dealer, isOnNode: leaders.map { $0 == Int64(communicator.nodeLeader) },
      localRank: communicator.localRank)
    counter = try SharedCounter(communicator)
    self.split = split
  }

  /// Starts a step; all ranks have left the one before.
  func begin(_ batch: GlobalBatch) {
    round += 1
    deal.begin(batch, from: split)
  }

  /// The next micro-batch's number; nil where none is left.
  func next() -> Int? { deal.next { counter.next(round: round, below: $0) } }
}

extension MicroBatchDealer {
  /// A dealer that knows what examples cost.
  convenience init(worldSize: Int, arithmetic: DecoderArithmetic) {
    self.init(worldSize: worldSize) { example, split in
      arithmetic.multiplyAdds(
        length: split.tokenCount(of: example), targetCount: split.countedTokenCount(of: example))
    }
  }
}
