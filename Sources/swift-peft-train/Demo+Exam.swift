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
    private let questions: ReferenceAnswers
    private let tokenizer: Tokenizer

    /// Takes the questions from the validation split.
    init(_ run: TrainingRun) throws {
      self.run = run
      questions = try ReferenceAnswers(
        try run.dataset.split(.validation), endTokens: try EndTokens.of(run.decoder))
      tokenizer = try Tokenizer(directory: run.decoder.directory)
    }

    /// Lets the model answer, each rank a share of the questions.
    func take() throws -> Result {
      // Room for an answer that does not end.
      let scorer = try questions.scorer(run.decoder, run.compute, spare: 16)
      let score = try questions.score(scorer, run.communicator)
      var sample: [Int] = []
      if run.communicator.rank == 0, let question = questions.all.first {
        sample =
          scorer.answer(
            to: question.prompt, maximumNewTokens: question.answer.count + 8
          ).tokens
      }
      return Result(correct: score.exact, count: score.asked, sample: sample)
    }

    /// Prints the first question with all its answers.
    func show(before: Result, after: Result) {
      guard let question = questions.all.first else { return }
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
