import DataParallel
import JSON

/// How evenly the steps' work lies on the ranks.
struct RankBalance {
  /// Micro-batches that this rank computed.
  private(set) var microBatches = 0
  /// Seconds of this rank in them; the rest of a step is sums over ranks, waiting and the update.
  private(set) var seconds = 0.0

  /// Adds a step.
  mutating func add(microBatches: Int, duration: Duration) {
    self.microBatches += microBatches
    seconds += duration / .seconds(1)
  }

  /// What the last line of metrics says of all ranks; called by all of them.
  ///
  /// - Parameter stepSeconds: of all steps, passes and all.
  func figures(
    stepSeconds: Double, _ communicator: Communicator
  ) throws(MPIError) -> [String: JSONValue] {
    var counts = [Int64](repeating: 0, count: communicator.worldSize)
    var passes = [Double](repeating: 0, count: communicator.worldSize)
    try communicator.allGather([Int64(microBatches)], into: &counts)
    try communicator.allGather([seconds], into: &passes)
    return [
      "step_seconds": .double(stepSeconds),
      "rank_micro_batches": .array(counts.map { .int(Int($0)) }),
      "rank_pass_seconds": .array(passes.map { .double($0) }),
    ]
  }
}
