import DataParallel
import Datasets
import Foundation
import Kernels
import Model

/// Loss over a whole split, its micro-batches dealt to the ranks and added exactly.
///
/// ```swift
/// let evaluation = Evaluation(split: split, microBatchSize: 8, communicator: communicator)
/// let figures = try evaluation.run(decoder, batch: batch, examples: buffer, compute: compute)
/// ```
public final class Evaluation {
  /// What an evaluation found, equal on all ranks.
  public struct Figures: Sendable {
    /// Mean cross-entropy over the counted tokens, in nats.
    public let loss: Double
    /// Counted tokens.
    public let tokens: Int
    /// Examples.
    public let examples: Int
    /// Share of the counted tokens that the model ranks first.
    public let accuracy: Double
    /// The first examples, of one micro-batch, whose loss is not finite; nil where all are.
    public let nonFiniteExamples: ClosedRange<Int>?

    /// The exponential of the loss.
    public var perplexity: Double { exp(loss) }
  }

  /// What an evaluation found of one example.
  public struct Example: Sendable {
    /// Its counted tokens.
    public let tokens: Int
    /// Mean cross-entropy over them, in nats; nil where none counts.
    public let loss: Double?
  }

  private let split: TokenSplit
  private let batches: BatchSchedule
  private let dealer: MicroBatchDealer
  private let communicator: Communicator
  private let totals = StepTotals()

  /// Told, after each micro-batch, how many of its own this rank has done, and how many there are.
  public var progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }

  /// Plans an evaluation of `split`.
  public init(split: TokenSplit, microBatchSize: Int, communicator: Communicator) {
    self.split = split
    self.communicator = communicator
    // One global batch holds the whole split, in file order.
    batches = BatchSchedule(
      exampleCount: split.exampleCount, globalBatchSize: split.exampleCount,
      microBatchSize: microBatchSize, seed: 0, shuffles: false)
    dealer = MicroBatchDealer(worldSize: communicator.worldSize)
  }

  /// Forward over every example, called by all ranks.
  ///
  /// - Parameters:
  ///   - decoder: prepared for passes as large as `batch`.
  ///   - batch: filled again for each micro-batch.
  ///   - examples: the same.
  ///   - compute: the threads that compute it.
  /// - Throws: where MPI or the dataset's file fails.
  public func run(
    _ decoder: Decoder, batch: TokenBatch, examples: ExampleBuffer, compute: Compute
  ) throws -> Figures {
    guard
      let figures = try run(
        decoder, batch: batch, examples: examples, compute: compute, isCutShort: { false })
    else { preconditionFailure("an evaluation that nobody cut short has no end") }
    return figures
  }

  /// The same, given up where a rank is asked to stop.
  ///
  /// - Parameter isCutShort: asked before each micro-batch.
  /// - Returns: nil on all ranks where it was true on one.
  func run(
    _ decoder: Decoder, batch: TokenBatch, examples: ExampleBuffer, compute: Compute,
    isCutShort: () -> Bool
  ) throws -> Figures? {
    let all = batches.batch(step: 1)
    totals.reset()
    var firstNonFinite = Int64.max
    let own = dealer.microBatches(of: all, from: split, rank: communicator.rank)
    for (place, index) in own.enumerated() {
      if isCutShort() {
        totals.stopRequests = 1
        break
      }
      try split.load(all.microBatch(index), into: examples)
      batch.fill(from: examples)
      let sum = decoder.evaluate(Pass(batch: batch, compute: compute, isTraining: false))
      if !sum.loss.isFinite { firstNonFinite = min(firstNonFinite, Int64(index)) }
      totals.loss.add(sum.loss)
      totals.correctTokens += Int64(sum.correctCount)
      progress(place + 1, own.count)
    }
    try totals.reduce(over: communicator)
    if totals.stopRequests > 0 { return nil }
    firstNonFinite = try communicator.allReduce(firstNonFinite, .minimum)
    let counted = split.countedTokenCount
    return Figures(
      loss: totals.loss.value / Double(counted), tokens: counted, examples: split.exampleCount,
      accuracy: Double(totals.correctTokens) / Double(counted),
      nonFiniteExamples: firstNonFinite == .max
        ? nil : Self.range(of: all.microBatch(Int(firstNonFinite))))
  }

  /// Loss of each example, in file order, equal on all ranks; called by all.
  ///
  /// - Throws: where MPI or the dataset's file fails.
  public func runByExample(
    _ decoder: Decoder, batch: TokenBatch, examples: ExampleBuffer, compute: Compute
  ) throws -> [Example] {
    var losses = [Double](repeating: 0, count: split.exampleCount)
    for index in stride(from: communicator.rank, to: losses.count, by: communicator.worldSize) {
      // Alone, so that its sum is its own.
      try split.load([index], into: examples)
      batch.fill(from: examples)
      losses[index] = decoder.evaluate(Pass(batch: batch, compute: compute, isTraining: false)).loss
    }
    // One rank alone has another number than 0 for an example, so that the sum is exact.
    try communicator.allReduce(&losses, .sum)
    return losses.enumerated().map { index, loss in
      let tokens = split.countedTokenCount(of: index)
      return Example(tokens: tokens, loss: tokens > 0 ? loss / Double(tokens) : nil)
    }
  }

  /// The examples of a micro-batch, which follow each other in the file.
  private static func range(of examples: ArraySlice<Int>) -> ClosedRange<Int> {
    let first = examples.first ?? 0
    return first...(examples.last ?? first)
  }
}
