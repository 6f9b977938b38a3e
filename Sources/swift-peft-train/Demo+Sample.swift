import Foundation
import Tokenizers
import Training

extension ExactMatchEvaluation {
  /// Prints the first prompt with all its completions.
  func show(before: Result, after: Result, model: String) throws {
    guard let example = examples.first else { return }
    let tokenizer = try Tokenizer(directory: model)
    func text(_ tokens: [Int]) -> String {
      tokenizer.decode(tokens.map { UInt32($0) }).trimmingCharacters(in: .whitespacesAndNewlines)
    }
    print(
      """

      One of them:
      \(text(example.prompt))
        before:   \(text(before.sample))
        after:    \(text(after.sample))
        expected: \(text(example.completion))

      """)
  }
}
