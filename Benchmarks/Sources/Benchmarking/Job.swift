import Foundation
import Tensors

/// A piece of training whose speed is measured: a model's shape, and the sequences of each step.
package struct Job: Sendable {
  /// `A`, `B` or `C`.
  package let name: String
  /// The model's sizes.
  package let shape: ModelShape
  /// Sequences in a step, all ranks together.
  package let batchSize: Int
  /// Tokens of each example of the dataset.
  package let lengths: [Int]
  /// Whether every token counts in the loss, rather than an example's second half.
  package let countsEverything: Bool
  /// Whether its model is some blocks of a family's, made by transformers.
  package var isFamily = false

  /// SmolLM-135M's shape, 4 sequences of 256 tokens, every one counted.
  package static let a = Job(
    name: "A", shape: .smolLM, batchSize: 4, lengths: Array(repeating: 256, count: 400),
    countsEverything: true)

  /// TinyLlama-1.1B's shape, 1 sequence of 512 tokens, every one counted.
  package static let b = Job(
    name: "B", shape: .tinyLlama, batchSize: 1, lengths: Array(repeating: 512, count: 64),
    countsEverything: true)

  /// SmolLM-135M's shape on ragged examples of 20 to 512 tokens, about 150 on average, half of them
  /// counted: the lengths of instructions and answers.
  package static let c = Job(
    name: "C", shape: .smolLM, batchSize: 8, lengths: raggedLengths(count: 400),
    countsEverything: false)

  /// A tiny model on ragged examples of 20 to 70 tokens: figures of it mean nothing.
  package static let tiny = Job(
    name: "tiny", shape: .tiny, batchSize: 4, lengths: (0..<40).map { 20 + $0 * 17 % 51 },
    countsEverything: false)

  /// 1 sequence of 512 tokens, every one counted, on a model that transformers made.
  static func family(_ name: String, shape: ModelShape) -> Job {
    Job(
      name: name, shape: shape, batchSize: 1, lengths: b.lengths, countsEverything: true,
      isFamily: true)
  }

  /// Those that figures are given for.
  package static let all = [a, b, c]

  /// In words.
  package var summary: String {
    let lengths =
      Set(self.lengths).count == 1
      ? "\(self.lengths[0])" : "\(self.lengths.min() ?? 0)…\(self.lengths.max() ?? 0)"
    return "\(shape.name) shape, \(batchSize) x \(lengths) tokens"
  }

  /// Whether the token at a place of an example counts as a target.
  package func counts(position: Int, of length: Int) -> Bool {
    countsEverything || position >= length / 2
  }

  /// Targets that count in an example; its first token is never one.
  package func countedTokens(of length: Int) -> Int {
    (1..<max(length, 1)).reduce(0) { $0 + (counts(position: $1, of: length) ? 1 : 0) }
  }

  /// Counted targets as a share of all tokens.
  package var countedShare: Double {
    let counted = lengths.reduce(0) { $0 + countedTokens(of: $1) }
    return Double(counted) / Double(lengths.reduce(0, +))
  }

  /// The lengths of step `step`'s sequences, from 1, where examples go in file order.
  package func lengths(step: Int) -> [Int] {
    let first = (step - 1) * batchSize
    return (first..<(first + batchSize)).map { lengths[$0 % lengths.count] }
  }

  /// Log-normal lengths: most are short, a few long.
  private static func raggedLengths(count: Int) -> [Int] {
    let random = CounterRandom(seed: 2, purpose: "lengths")
    return (0..<count).map { index in
      let length = exp(4.8 + 0.65 * random.normal(UInt64(index)))
      return min(max(Int(length), 20), 512)
    }
  }
}
