import DataParallel
import Datasets
import Foundation
import Generation
import Model
import Tokenizers
import Training

extension Demo {
  /// The held-out examples as questions: the model answers, and exact answers count.
  final class Exam {
    /// How the model did.
    struct Result {
      /// Exact answers, over all ranks.
      let correct: Int
      /// Questions.
      let count: Int
      /// The model's answer to the first question, on rank 0.
      let sample: [Int]

      /// For example `108 of 120 answers exact (90 %)`.
      var sentence: String {
        "\(correct) of \(count) answers exact (\(100 * correct / max(count, 1)) %)"
      }
    }

    private let run: TrainingRun
    private let questions: [ReferenceAnswer]
    private let endTokens: Set<Int>
    private let tokenizer: Tokenizer
    private let longest: Int

    /// Takes the questions from the validation split: what does not count is asked, what counts is
    /// the answer.
    init(_ run: TrainingRun) throws {
      self.run = run
      let split = try run.dataset.split(.validation)
      let endTokens = Set(run.decoder.configuration.endTokens)
      self.endTokens = endTokens
      longest = split.maximumTokenCount(ofExamples: 1)
      tokenizer = try Tokenizer(directory: run.decoder.directory)
      let buffer = ExampleBuffer(tokenCapacity: longest, sequenceCapacity: 1)
      var questions: [ReferenceAnswer] = []
      for example in 0..<split.exampleCount {
        try split.load([example], into: buffer)
        let places = buffer.sequence(0)
        let question = ReferenceAnswer(
          tokens: buffer.tokens[places].map { Int($0) },
          counts: buffer.counts[places].map { $0 != 0 }, endTokens: endTokens)
        if let question { questions.append(question) }
      }
      self.questions = questions
    }

    /// Lets the model answer, each rank a share of the questions.
    func take() throws -> Result {
      let (rank, worldSize) = (run.communicator.rank, run.communicator.worldSize)
      // Room for an answer that does not end.
      let room = min(longest + 16, run.decoder.configuration.maximumPositions)
      let scorer = AnswerScorer(
        generator: try TextGenerator(
          decoder: run.decoder, compute: run.compute, maximumLength: room),
        endTokens: endTokens)
      let score = scorer.score(questions, first: rank, stride: worldSize)
      var sample: [Int] = []
      if rank == 0, let question = questions.first {
        sample =
          scorer.answer(
            to: question.prompt, maximumNewTokens: question.answer.count + 8
          ).tokens
      }
      let total = try run.communicator.allReduce(Int64(score.exact), .sum)
      return Result(correct: Int(total), count: questions.count, sample: sample)
    }

    /// Prints the first question with all its answers.
    func show(before: Result, after: Result) {
      guard let question = questions.first else { return }
      func text(_ tokens: [Int]) -> String {
        tokenizer.decode(tokens.map { UInt32($0) }).trimmingCharacters(in: .whitespacesAndNewlines)
      }
      print(
        """

        One of them:
        \(text(question.prompt))
          before:   \(text(before.sample))
          after:    \(text(after.sample))
          expected: \(text(question.answer))

        """)
    }
  }
}
