import Tensors

/// Which examples each optimizer step takes, as a function of the step's number alone.
///
/// ```swift
/// let schedule = BatchSchedule(
///   exampleCount: split.exampleCount, globalBatchSize: 8, microBatchSize: 1, seed: 42)
/// for step in 1...schedule.totalSteps { let batch = schedule.batch(step: step) … }
/// ```
///
/// Steps count from 1. An epoch goes through all examples once, in an order drawn from (seed,
/// epoch); its last global batch may be smaller. Nothing is kept from step to step but the order of
/// the epoch at hand, so a run resumes from the step's number, on any number of ranks.
public final class BatchSchedule {
  /// Examples in an epoch.
  public let exampleCount: Int
  /// Sequences in one step, over all ranks together.
  public let globalBatchSize: Int
  /// Sequences in one forward and backward.
  public let microBatchSize: Int
  /// Steps in an epoch, the smaller last one included.
  public let stepsPerEpoch: Int
  /// Steps in the run.
  public let totalSteps: Int
  private let seed: UInt64
  private let shuffles: Bool
  private var order: [Int]
  private var orderedEpoch: Int?

  /// Plans a run.
  ///
  /// - Parameter shuffles: false takes examples in file order, epoch after epoch.
  /// - Parameter epochCount: epochs, whole or not; as in transformers, ⌈epochs × steps per epoch⌉
  ///   steps.
  /// - Parameter maxSteps: ends the run earlier; nil when only the epochs do.
  public init(
    exampleCount: Int, globalBatchSize: Int, microBatchSize: Int, seed: UInt64,
    shuffles: Bool = true, epochCount: Double = 1, maxSteps: Int? = nil
  ) {
    precondition(
      exampleCount > 0 && globalBatchSize > 0 && microBatchSize > 0,
      "\(exampleCount) examples in batches of \(globalBatchSize) and \(microBatchSize)")
    precondition(epochCount >= 0 && maxSteps ?? 0 >= 0, "\(epochCount) epochs")
    self.exampleCount = exampleCount
    self.globalBatchSize = globalBatchSize
    self.microBatchSize = microBatchSize
    self.seed = seed
    self.shuffles = shuffles
    // Written so that no batch size overflows.
    stepsPerEpoch = (exampleCount - 1) / globalBatchSize + 1
    let epochSteps = (epochCount * Double(stepsPerEpoch)).rounded(.up)
    // More steps than a Double can count one by one are as good as endless.
    totalSteps = min(maxSteps ?? Int.max, epochSteps < 0x1p53 ? Int(epochSteps) : 1 << 53)
    order = Array(0..<exampleCount)
  }

  /// The examples of step `step`, which counts from 1.
  ///
  /// Within an epoch nothing is allocated, and from one to the next neither, unless somebody still
  /// holds an earlier epoch's batch.
  public func batch(step: Int) -> GlobalBatch {
    precondition(step >= 1, "step \(step); steps count from 1")
    let epoch = (step - 1) / stepsPerEpoch
    let start = (step - 1) % stepsPerEpoch * globalBatchSize
    arrange(epoch: epoch)
    return GlobalBatch(
      step: step, epoch: epoch,
      examples: order[start..<(start + min(globalBatchSize, exampleCount - start))],
      microBatchSize: microBatchSize)
  }

  /// Micro-batches of the largest global batch.
  public var mostMicroBatches: Int {
    (min(globalBatchSize, exampleCount) - 1) / microBatchSize + 1
  }

  /// Epochs completed after `step` steps, in fractions of an epoch's steps as transformers logs it.
  public func epoch(afterStep step: Int) -> Double { Double(step) / Double(stepsPerEpoch) }

  /// Examples seen after `step` steps.
  public func samplesSeen(afterStep step: Int) -> Int {
    let (epochs, rest) = step.quotientAndRemainder(dividingBy: stepsPerEpoch)
    return epochs * exampleCount + rest * globalBatchSize
  }

  /// Puts the examples into the epoch's order, unless they are.
  private func arrange(epoch: Int) {
    guard orderedEpoch != epoch else { return }
    defer { orderedEpoch = epoch }
    guard shuffles else { return }
    // Fisher and Yates, in place: an array of each epoch would be an allocation in a step.
    let random = CounterRandom(seed: seed, purpose: "shuffle").substream(UInt64(epoch))
    for place in 0..<exampleCount { order[place] = place }
    for place in stride(from: exampleCount - 1, to: 0, by: -1) {
      order.swapAt(place, Int(random.integer(UInt64(place), below: UInt64(place + 1))))
    }
  }
}

/// The examples of one optimizer step, cut into micro-batches in a way that no rank count changes.
public struct GlobalBatch {
  /// The step that takes it, from 1.
  public let step: Int
  /// The epoch that it belongs to, from 0.
  public let epoch: Int
  /// Its examples, in order.
  public let examples: ArraySlice<Int>
  /// Examples in each micro-batch but perhaps the last.
  public let microBatchSize: Int

  /// Micro-batches in it.
  public var microBatchCount: Int {
    examples.isEmpty ? 0 : (examples.count - 1) / microBatchSize + 1
  }

  /// The examples of micro-batch `index`: consecutive ones, the last micro-batch may have fewer.
  public func microBatch(_ index: Int) -> ArraySlice<Int> {
    precondition(
      index >= 0 && index < microBatchCount, "micro-batch \(index) of \(microBatchCount)")
    let start = examples.startIndex + index * microBatchSize
    return examples[start..<(start + min(microBatchSize, examples.endIndex - start))]
  }
}
