import DataParallel
import Datasets
import Generation
import Kernels
import Model

/// The share of held-out examples that a model completes word for word, with greedy decoding.
///
/// The prompt is what precedes the span that counts in the loss, the reference is that span. It
/// knows token ids, not text.
public final class ExactMatchEvaluation {
  /// How a model did.
  public struct Result: Sendable, Hashable {
    /// Exact matches, over all ranks.
    public let correct: Int
    /// Examples.
    public let count: Int
    /// The model's completion of the first prompt, on rank 0 where it was asked for.
    public let sample: [Int]

    /// The share of exact matches; 0 where nothing is asked.
    public var share: Double { Double(correct) / Double(max(count, 1)) }

    /// For example `108 of 120 answers exact (90 %)`.
    public var sentence: String {
      "\(correct) of \(count) answers exact (\(100 * correct / max(count, 1)) %)"
    }
  }

  /// Prompts and references, in file order.
  public let examples: [PromptCompletion]
  private let endTokens: Set<Int>
  private let longest: Int

  /// Takes prompts and references from a split.
  ///
  /// A prompt has two tokens or more: in plain text only the first token does not count, and to go
  /// on from it is no task.
  ///
  /// - Parameters:
  ///   - split: examples of prompt and completion.
  ///   - endTokens: the model's, as `EndTokens.of` finds them; they end a completion and are no
  ///     part of it.
  ///   - limit: most examples, the first ones; nil for all.
  /// - Throws: where the dataset's file fails.
  public init(_ split: TokenSplit, endTokens: Set<Int>, limit: Int? = nil) throws(DatasetError) {
    self.endTokens = endTokens
    longest = split.maximumTokenCount(ofExamples: 1)
    let buffer = ExampleBuffer(tokenCapacity: longest, sequenceCapacity: 1)
    var examples: [PromptCompletion] = []
    for example in 0..<split.exampleCount where examples.count < limit ?? .max {
      try split.load([example], into: buffer)
      let places = buffer.sequence(0)
      let pair = PromptCompletion(
        tokens: buffer.tokens[places].map { Int($0) },
        counts: buffer.counts[places].map { $0 != 0 }, endTokens: endTokens)
      if let pair, pair.prompt.count > 1 { examples.append(pair) }
    }
    self.examples = examples
  }

  /// Lets a model complete the prompts, each rank a share of them; called by all ranks.
  ///
  /// The decoder is prepared for inference and must be prepared again to train on.
  ///
  /// - Parameters:
  ///   - decoder: the model, with an adapter attached or without.
  ///   - compute: the threads that compute it.
  ///   - communicator: the ranks that share the prompts.
  ///   - withSample: whether rank 0 keeps its completion of the first prompt.
  ///   - progress: told after each prompt how many this rank has asked.
  /// - Throws: where the model has no room for the prompts, or MPI fails, on all ranks.
  public func run(
    _ decoder: Decoder, compute: Compute, communicator: Communicator, withSample: Bool = false,
    progress: (_ asked: Int) -> Void = { _ in }
  ) throws(MPIError) -> Result {
    // Room for a completion that does not end.
    let room = min(
      longest + 16,
      decoder.configuration.maximumPositions - decoder.virtualTokenCount - decoder.positionOffset)
    let scorer = try communicator.together {
      ExactMatchScorer(
        generator: try TextGenerator(decoder: decoder, compute: compute, maximumLength: room),
        endTokens: endTokens)
    }
    let score = scorer.score(
      examples, first: communicator.rank, stride: communicator.worldSize, progress: progress)
    var sample: [Int] = []
    if withSample, communicator.rank == 0, let example = examples.first {
      sample =
        scorer.completion(
          of: example.prompt, maximumNewTokens: example.completion.count + 8
        ).tokens
    }
    let correct = try communicator.allReduce(Int64(score.matches), .sum)
    return Result(correct: Int(correct), count: examples.count, sample: sample)
  }
}
