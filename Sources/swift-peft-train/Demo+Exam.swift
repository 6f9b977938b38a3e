import Foundation
import Tokenizers
import Training

extension AnswerExam {
  /// Prints the first question with all its answers.
  func show(before: Result, after: Result, model: String) throws {
    guard let question = questions.first else { return }
    let tokenizer = try Tokenizer(directory: model)
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
