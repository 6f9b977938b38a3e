import DataParallel
import Datasets
import Generation
import Kernels
import Model

/// How much of a dataset's examples a model goes on with word for word.
///
/// Of a split at most 256 examples are asked, evenly spread over the file. Of each the model is given
/// the beginning: what precedes the first token that counts in the loss, or, where that is fewer than
/// two tokens (plain text), the first half; of either the last 256 tokens at most. It continues
/// greedily, and the tokens that equal the example's own are counted up to the first that differs, or
/// the first that does not count in the loss, 50 at most. Examples without two tokens to begin with and one to go on with are not asked. What is
/// compared is "extraction" as Carlini et al. 2023 define it (arXiv:2202.07646), with prefixes of the
/// examples' own lengths.
///
/// A model that has learnt a task goes on with some tokens of examples that it never saw; what it
/// retains of the training data is what it does better there than on held-out examples.
public final class MemorisationCheck {
  /// Most examples of a split that are asked.
  public static let exampleLimit = 256
  /// Most tokens that the model is given.
  public static let prefixLimit = 256
  /// Most tokens that it is asked for.
  public static let continuationLimit = 50

  /// What a model goes on with.
  public struct Result: Sendable, Hashable {
    /// Examples that were asked.
    public var examples = 0
    /// Tokens that could be continued.
    public var tokens = 0
    /// Those that were, before the first that differs.
    public var verbatimTokens = 0
    /// Examples of which all tokens were.
    public var wholeExamples = 0

    /// What was counted; nothing by default.
    public init(
      examples: Int = 0, tokens: Int = 0, verbatimTokens: Int = 0, wholeExamples: Int = 0
    ) {
      self.examples = examples
      self.tokens = tokens
      self.verbatimTokens = verbatimTokens
      self.wholeExamples = wholeExamples
    }

    /// The share of tokens that were continued.
    public var share: Double { Double(verbatimTokens) / Double(max(tokens, 1)) }
  }

  /// How many examples are asked, over all ranks.
  public var exampleCount: Int { questions.count }

  private let questions: [(prefix: [Int], continuation: [Int])]

  /// Takes the questions from a split.
  ///
  /// - Throws: where the dataset's file fails.
  public init(_ split: TokenSplit) throws(DatasetError) {
    let buffer = ExampleBuffer(
      tokenCapacity: split.maximumTokenCount(ofExamples: 1), sequenceCapacity: 1)
    var questions: [(prefix: [Int], continuation: [Int])] = []
    let count = min(split.exampleCount, Self.exampleLimit)
    for index in 0..<count {
      try split.load([index * split.exampleCount / count], into: buffer)
      let places = buffer.sequence(0)
      let tokens = buffer.tokens[places].map { Int($0) }
      let counts = Array(buffer.counts[places])
      var start = counts.indices.first { $0 > 0 && counts[$0] != 0 } ?? 0
      if start < 2 { start = tokens.count / 2 }
      let end = counts[start...].firstIndex(of: 0) ?? counts.endIndex
      guard start >= 2, start < end else { continue }
      questions.append(
        (
          Array(tokens[..<start].suffix(Self.prefixLimit)),
          Array(tokens[start..<end].prefix(Self.continuationLimit))
        ))
    }
    self.questions = questions
  }

  /// Lets a model go on, each rank with a share of the examples; called by all ranks.
  ///
  /// The decoder is prepared for inference and must be prepared again for other passes. `progress` is told
  /// after each example how many this rank has asked.
  ///
  /// - Throws: where the model has no room for the examples, or MPI fails, on all ranks.
  public func run(
    _ decoder: Decoder, compute: Compute, communicator: Communicator,
    progress: (_ asked: Int) -> Void = { _ in }
  ) throws(MPIError) -> Result {
    let longest = questions.map { $0.prefix.count + $0.continuation.count }.max() ?? 2
    let generator = try communicator.together {
      try TextGenerator(decoder: decoder, compute: compute, maximumLength: longest)
    }
    var result = Result()
    for index in stride(from: communicator.rank, to: questions.count, by: communicator.worldSize) {
      let (prefix, continuation) = questions[index]
      var found = 0
      // No token ends the answer: an end token is one to be continued with like others.
      _ = generator.generate(
        prompt: prefix, maximumNewTokens: continuation.count, sampler: Sampler(), endTokens: []
      ) { token in
        guard token == continuation[found] else { return false }
        found += 1
        return found < continuation.count
      }
      result.examples += 1
      result.tokens += continuation.count
      result.verbatimTokens += found
      result.wholeExamples += found == continuation.count ? 1 : 0
      progress(result.examples)
    }
    var sums = [result.examples, result.tokens, result.verbatimTokens, result.wholeExamples]
      .map { Int64($0) }
    try communicator.allReduce(&sums, .sum)
    return Result(
      examples: Int(sums[0]), tokens: Int(sums[1]), verbatimTokens: Int(sums[2]),
      wholeExamples: Int(sums[3]))
  }
}
