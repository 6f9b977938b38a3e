import DataParallel
import Datasets
import Generation
import Kernels
import Model

/// Held-out examples as questions: the model answers, and exact answers count.
///
/// The prompt is what precedes the span that counts in the loss, the reference is that span. It
/// knows token ids, not text.
public final class AnswerExam {
  /// How a model did.
  public struct Result: Sendable, Hashable {
    /// Exact answers, over all ranks.
    public let correct: Int
    /// Questions.
    public let count: Int
    /// The model's answer to the first question, on rank 0 where it was asked for.
    public let sample: [Int]

    /// The share of exact answers; 0 where nothing is asked.
    public var share: Double { Double(correct) / Double(max(count, 1)) }

    /// For example `108 of 120 answers exact (90 %)`.
    public var sentence: String {
      "\(correct) of \(count) answers exact (\(100 * correct / max(count, 1)) %)"
    }
  }

  /// The questions with their answers, in file order.
  public let questions: [ReferenceAnswer]
  private let endTokens: Set<Int>
  private let longest: Int

  /// Takes the questions from a split.
  ///
  /// A prompt has two tokens or more: in plain text only the first token does not count, and to go
  /// on from it is no question.
  ///
  /// - Parameters:
  ///   - split: examples of prompt and answer.
  ///   - endTokens: the model's, as `EndTokens.of` finds them; they end an answer and are no part
  ///     of it.
  ///   - limit: most questions, the first ones; nil for all.
  /// - Throws: where the dataset's file fails.
  public init(_ split: TokenSplit, endTokens: Set<Int>, limit: Int? = nil) throws(DatasetError) {
    self.endTokens = endTokens
    longest = split.maximumTokenCount(ofExamples: 1)
    let buffer = ExampleBuffer(tokenCapacity: longest, sequenceCapacity: 1)
    var questions: [ReferenceAnswer] = []
    for example in 0..<split.exampleCount where questions.count < limit ?? .max {
      try split.load([example], into: buffer)
      let places = buffer.sequence(0)
      let question = ReferenceAnswer(
        tokens: buffer.tokens[places].map { Int($0) },
        counts: buffer.counts[places].map { $0 != 0 }, endTokens: endTokens)
      if let question, question.prompt.count > 1 { questions.append(question) }
    }
    self.questions = questions
  }

  /// Lets a model answer, each rank a share of the questions; called by all ranks.
  ///
  /// The decoder is prepared for inference and must be prepared again to train on.
  ///
  /// - Parameters:
  ///   - decoder: the model, with an adapter attached or without.
  ///   - compute: the threads that compute it.
  ///   - communicator: the ranks that share the questions.
  ///   - withSample: whether rank 0 keeps its answer to the first question.
  ///   - progress: told after each question how many this rank has asked.
  /// - Throws: where the model has no room for the questions, or MPI fails, on all ranks.
  public func take(
    _ decoder: Decoder, compute: Compute, communicator: Communicator, withSample: Bool = false,
    progress: (_ asked: Int) -> Void = { _ in }
  ) throws(MPIError) -> Result {
    // Room for an answer that does not end.
    let room = min(
      longest + 16,
      decoder.configuration.maximumPositions - decoder.virtualTokenCount - decoder.positionOffset)
    let scorer = try communicator.together {
      AnswerScorer(
        generator: try TextGenerator(decoder: decoder, compute: compute, maximumLength: room),
        endTokens: endTokens)
    }
    let score = scorer.score(
      questions, first: communicator.rank, stride: communicator.worldSize, progress: progress)
    var sample: [Int] = []
    if withSample, communicator.rank == 0, let question = questions.first {
      sample =
        scorer.answer(
          to: question.prompt, maximumNewTokens: question.answer.count + 8
        ).tokens
    }
    let correct = try communicator.allReduce(Int64(score.exact), .sum)
    return Result(correct: Int(correct), count: questions.count, sample: sample)
  }
}
