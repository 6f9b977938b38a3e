import Kernels
import Model

/// A prompt and the answer that is expected to it, in tokens.
public struct ReferenceAnswer: Sendable, Hashable {
  /// What the model is given.
  public let prompt: [Int]
  /// What it should say, without the end token.
  public let answer: [Int]

  /// A prompt with its answer.
  public init(prompt: [Int], answer: [Int]) {
    self.prompt = prompt
    self.answer = answer
  }

  /// Splits a dataset's example where its tokens begin to count: the prompt is what comes before, the
  /// answer what counts from there on, without end tokens at its end.
  ///
  /// - Parameter counts: whether each token counts in the loss.
  /// - Returns: nil where the example has no prompt or no answer.
  public init?(tokens: [Int], counts: [Bool], endTokens: Set<Int>) {
    guard let start = counts.indices.first(where: { $0 > 0 && counts[$0] }) else { return nil }
    let end = counts[start...].firstIndex(of: false) ?? tokens.endIndex
    var answer = tokens[start..<end]
    while let last = answer.last, endTokens.contains(last) { answer.removeLast() }
    if answer.isEmpty { return nil }
    self.init(prompt: Array(tokens[..<start]), answer: Array(answer))
  }
}

/// How many answers were given word for word.
public struct AnswerScore: Sendable, Hashable {
  /// Answers equal to their references, token for token.
  public var exact = 0
  /// References asked.
  public var asked = 0

  /// Nothing asked.
  public init() {}

  /// The share of exact answers.
  public var share: Double { asked == 0 ? 0 : Double(exact) / Double(asked) }
}

/// Asks a model for answers and compares them with references.
///
/// Answers are greedy. An answer counts when it equals its reference token for token and then ends,
/// so it may be one token longer than the reference (the end token) before it is wrong.
public struct AnswerScorer {
  private let generator: TextGenerator
  private let endTokens: Set<Int>

  /// A scorer on a generator that is long enough for prompt, answer and end token.
  public init(generator: TextGenerator, endTokens: Set<Int>) {
    self.generator = generator
    self.endTokens = endTokens
  }

  /// The model's answer to a prompt, at most `maximumNewTokens` long.
  public func answer(to prompt: [Int], maximumNewTokens: Int) -> GeneratedTokens {
    generator.generate(
      prompt: prompt, maximumNewTokens: maximumNewTokens, sampler: Sampler(),
      endTokens: endTokens)
  }

  /// Asks for every `stride`-th reference from `first` on, so that ranks can share the work.
  public func score(_ references: [ReferenceAnswer], first: Int = 0, stride: Int = 1)
    -> AnswerScore
  {
    var score = AnswerScore()
    for index in Swift.stride(from: first, to: references.count, by: stride) {
      let reference = references[index]
      let found = answer(to: reference.prompt, maximumNewTokens: reference.answer.count + 1)
      score.asked += 1
      if found.finishReason == .stop && found.tokens == reference.answer { score.exact += 1 }
    }
    return score
  }
}
