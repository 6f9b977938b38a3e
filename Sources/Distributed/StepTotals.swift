/// The scalars of a step or an evaluation, summed over all ranks in one message.
///
/// ```swift
/// totals.loss.add(loss)
/// totals.countedTokens += Int64(counted)
/// try totals.reduce(over: communicator)
/// let mean = totals.loss.value / Double(totals.countedTokens)
/// ```
///
/// Every sum is of integers, so the loss that is logged does not depend on the number of ranks.
public final class StepTotals {
  /// Sum of the micro-batches' losses (sums of cross-entropies, nats).
  public var loss = ExactSum()
  /// Tokens that count in the loss.
  public var countedTokens: Int64 = 0
  /// Counted tokens that the model ranked first.
  public var correctTokens: Int64 = 0
  /// All tokens that were computed.
  public var tokens: Int64 = 0
  /// Sequences that were computed.
  public var sequences: Int64 = 0
  /// Ranks that were asked to stop; any is enough for all to stop at this step's end.
  public var stopRequests: Int64 = 0
  /// A hash of what every rank must hold alike.
  public var stateHash: UInt64 = 0
  /// Whether ``stateHash`` was the same on all ranks; set by ``reduce(over:)``.
  public private(set) var statesAgree = true

  /// Bytes that each rank hands to MPI for them, where there is more than one rank.
  public static let byteCount = messageCount * MemoryLayout<Int64>.stride

  private static let messageCount = 16
  private let message = ReductionBuffer(count: messageCount)

  /// Totals of nothing.
  public init() {}

  /// Sets everything to zero, for the next step.
  public func reset() {
    loss = ExactSum()
    (countedTokens, correctTokens, tokens, sequences, stopRequests) = (0, 0, 0, 0, 0)
    (stateHash, statesAgree) = (0, true)
  }

  /// Replaces each figure by its sum over all ranks, which all call it once.
  public func reduce(over communicator: Communicator) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    (message[0], message[1], message[2], message[3]) = loss.digits
    message[4] = loss.unrepresentable
    (message[5], message[6], message[7]) = (countedTokens, correctTokens, tokens)
    (message[8], message[9]) = (sequences, stopRequests)
    putHash()
    try communicator.sum(message, 0..<message.count)
    loss.digits = (message[0], message[1], message[2], message[3])
    loss.unrepresentable = message[4]
    (countedTokens, correctTokens, tokens) = (message[5], message[6], message[7])
    (sequences, stopRequests) = (message[8], message[9])
    statesAgree = hashesAgree(worldSize: communicator.worldSize)
  }

  // The hash travels in the same sum: n numbers d are all the same exactly where n·Σd² = (Σd)²
  // (Cauchy and Schwarz), which every rank finds alike from the two sums. Three digits of at most 22
  // bits leave Σd² room for 2¹⁹ ranks.

  private func putHash() {
    for (index, digit) in [0, 22, 43].enumerated() {
      let mask: UInt64 = index == 0 ? 1 << 22 - 1 : 1 << 21 - 1
      let d = Int64(stateHash >> UInt64(digit) & mask)
      (message[10 + 2 * index], message[11 + 2 * index]) = (d, d * d)
    }
  }

  private func hashesAgree(worldSize: Int) -> Bool {
    (0..<3).allSatisfy { index in
      let (sum, squares) = (message[10 + 2 * index], message[11 + 2 * index])
      return sum.multipliedFullWidth(by: sum) == squares.multipliedFullWidth(by: Int64(worldSize))
    }
  }
}
