import Datasets

extension RunConfiguration {
  /// Which examples each step takes.
  func schedule(of split: TokenSplit) -> BatchSchedule {
    if let microBatchTokens {
      return BatchSchedule(
        split, globalBatchSize: globalBatchSize, microBatchTokens: microBatchTokens, seed: seed,
        shuffles: shuffles, epochCount: epochCount, maxSteps: maxSteps)
    }
    return BatchSchedule(
      exampleCount: split.exampleCount, globalBatchSize: globalBatchSize,
      microBatchSize: microBatchSize, seed: seed, shuffles: shuffles, epochCount: epochCount,
      maxSteps: maxSteps)
  }
}

/// What the largest micro-batches of a run take room for, trained on or evaluated.
struct MicroBatchRoom {
  /// Tokens.
  let tokens: Int
  /// Sequences.
  let sequences: Int
  /// Sequences of an evaluation's micro-batch, which are cut by sequences and have room for any.
  let evaluatedSequences: Int
  /// Tokens of the longest example.
  let longest: Int

  init(_ configuration: RunConfiguration, _ dataset: TokenDataset) {
    let train = dataset.train
    let splits = [train, dataset.validation].compactMap(\.self)
    longest = splits.map { $0.maximumTokenCount(ofExamples: 1) }.max() ?? 0
    let examples = splits.map(\.exampleCount).max() ?? 1
    guard let limit = configuration.microBatchTokens else {
      // A micro-batch never has more than all examples.
      let sequences = min(configuration.microBatchSize, examples)
      (self.sequences, evaluatedSequences) = (sequences, sequences)
      tokens = splits.map { $0.maximumTokenCount(ofExamples: sequences) }.max() ?? 0
      return
    }
    let capacity = max(limit, train.maximumTokenCount(ofExamples: 1))
    tokens = max(
      min(capacity, train.maximumTokenCount(ofExamples: configuration.globalBatchSize)), longest)
    sequences = min(train.mostExamples(ofTokens: tokens), configuration.globalBatchSize)
    var evaluated = 1
    if let validation = dataset.validation {
      while evaluated < min(sequences, validation.exampleCount),
        validation.maximumTokenCount(ofExamples: evaluated + 1) <= tokens
      { evaluated += 1 }
    }
    evaluatedSequences = evaluated
  }
}
