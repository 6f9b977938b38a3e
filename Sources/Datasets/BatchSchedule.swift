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
  /// Sequences in one forward and backward; nil where micro-batches are cut by tokens.
  public let microBatchSize: Int?
  /// Micro-batches of the largest global batch, at most.
  public let mostMicroBatches: Int
  /// Steps in an epoch, the smaller last one included.
  public let stepsPerEpoch: Int
  /// Steps in the run.
  public let totalSteps: Int
  private let seed: UInt64
  private let shuffles: Bool
  private var order: [Int]
  private var orderedEpoch: Int?
  private let packing: MicroBatchPacking?

  /// Plans a run whose micro-batches are cut by sequences.
  ///
  /// - Parameters:
  ///   - exampleCount: examples of the split.
  ///   - globalBatchSize: sequences of a step, over all ranks together.
  ///   - microBatchSize: sequences of one forward and backward.
  ///   - seed: what the order of examples follows from.
  ///   - shuffles: false takes examples in file order, epoch after epoch.
  ///   - epochCount: epochs, whole or not; as in transformers, ⌈epochs × steps per epoch⌉ steps.
  ///   - maxSteps: ends the run earlier; nil when only the epochs do.
  public convenience init(
    exampleCount: Int, globalBatchSize: Int, microBatchSize: Int, seed: UInt64,
    shuffles: Bool = true, epochCount: Double = 1, maxSteps: Int? = nil
  ) {
    precondition(
      exampleCount > 0 && globalBatchSize > 0 && microBatchSize > 0,
      "\(exampleCount) examples in batches of \(globalBatchSize) and \(microBatchSize)")
    self.init(
      exampleCount: exampleCount, globalBatchSize: globalBatchSize, seed: seed, shuffles: shuffles,
      epochCount: epochCount, maxSteps: maxSteps, microBatchSize: microBatchSize, packing: nil,
      mostMicroBatches: (min(globalBatchSize, exampleCount) - 1) / microBatchSize + 1)
  }

  /// Plans a run over a split whose micro-batches are cut by tokens.
  ///
  /// - Parameters:
  ///   - split: the examples with their lengths.
  ///   - globalBatchSize: sequences of a step, over all ranks together.
  ///   - microBatchTokens: tokens in one forward and backward at most; a longer example is a
  ///     micro-batch of its own.
  ///   - seed: what the order of examples follows from.
  ///   - shuffles: false takes examples in file order, epoch after epoch.
  ///   - epochCount: epochs, whole or not.
  ///   - maxSteps: ends the run earlier; nil when only the epochs do.
  public convenience init(
    _ split: TokenSplit, globalBatchSize: Int, microBatchTokens: Int, seed: UInt64,
    shuffles: Bool = true, epochCount: Double = 1, maxSteps: Int? = nil
  ) {
    precondition(
      globalBatchSize > 0 && microBatchTokens > 0,
      "\(microBatchTokens) tokens of batches of \(globalBatchSize)")
    let longest = split.maximumTokenCount(ofExamples: 1)
    // Where one runs over, each holds more than its room less the longest example.
    let most = split.maximumTokenCount(ofExamples: globalBatchSize)
    let bound =
      microBatchTokens > longest
      ? MicroBatchPacking.rounded(most / (microBatchTokens - longest) + 1) : Int.max
    self.init(
      exampleCount: split.exampleCount, globalBatchSize: globalBatchSize, seed: seed,
      shuffles: shuffles, epochCount: epochCount, maxSteps: maxSteps, microBatchSize: nil,
      packing: MicroBatchPacking(capacity: microBatchTokens) { split.tokenCount(of: $0) },
      mostMicroBatches: min(globalBatchSize, split.exampleCount, bound))
  }

  private init(
    exampleCount: Int, globalBatchSize: Int, seed: UInt64, shuffles: Bool, epochCount: Double,
    maxSteps: Int?, microBatchSize: Int?, packing: MicroBatchPacking?, mostMicroBatches: Int
  ) {
    precondition(epochCount >= 0 && maxSteps ?? 0 >= 0, "\(epochCount) epochs")
    self.exampleCount = exampleCount
    self.globalBatchSize = globalBatchSize
    self.microBatchSize = microBatchSize
    self.packing = packing
    self.mostMicroBatches = mostMicroBatches
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
    let examples = order[start..<(start + min(globalBatchSize, exampleCount - start))]
    guard let packing else {
      return GlobalBatch(
        step: step, epoch: epoch, examples: examples, cut: .every(microBatchSize ?? 1))
    }
    packing.pack(examples)
    return GlobalBatch(
      step: step, epoch: epoch, examples: packing.examples[...], cut: .at(packing.starts))
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
  /// Its examples, micro-batch after micro-batch.
  public let examples: ArraySlice<Int>

  /// Where micro-batches begin among the examples.
  enum Cut {
    /// After so many examples each.
    case every(Int)
    /// Here; the last place is the end.
    case at([Int])
  }
  let cut: Cut

  /// Micro-batches in it.
  public var microBatchCount: Int {
    switch cut {
    case .every(let size): examples.isEmpty ? 0 : (examples.count - 1) / size + 1
    case .at(let starts): starts.count - 1
    }
  }

  /// The examples of micro-batch `index`.
  ///
  /// Cut by sequences they are consecutive ones, and the last micro-batch may have fewer.
  public func microBatch(_ index: Int) -> ArraySlice<Int> {
    precondition(
      index >= 0 && index < microBatchCount, "micro-batch \(index) of \(microBatchCount)")
    switch cut {
    case .every(let size):
      let start = examples.startIndex + index * size
      return examples[start..<(start + min(size, examples.endIndex - start))]
    case .at(let starts): return examples[starts[index]..<starts[index + 1]]
    }
  }
}
