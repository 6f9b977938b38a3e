import Kernels
import Model

/// A prompt and the answer that is expected to it, in tokens.
public struct ReferenceAnswer: Sendable, Hashable {
  /// What the model is given.
  public let prompt: [Int]
  /// What it should say, without the end token.
  public let answer: [Int]
  /// Whether the answer must end there; not where the reference was cut off.
  public let ends: Bool

  /// A prompt with its answer.
  public init(prompt: [Int], answer: [Int], ends: Bool = true) {
    self.prompt = prompt
    self.answer = answer
    self.ends = ends
  }

  /// Splits a dataset's example where its tokens begin to count.
  ///
  /// The prompt is what comes before, the answer what counts from there on, without end tokens at its
  /// end. An example that has none there was cut off: an answer to it may go on.
  ///
  /// - Parameters:
  ///   - tokens: the example's ids.
  ///   - counts: whether each token counts in the loss.
  ///   - endTokens: ids that end an answer.
  /// - Returns: nil where the example has no prompt or no answer.
  public init?(tokens: [Int], counts: [Bool], endTokens: Set<Int>) {
    guard let start = counts.indices.first(where: { $0 > 0 && counts[$0] }) else { return nil }
    let end = counts[start...].firstIndex(of: false) ?? tokens.endIndex
    var answer = tokens[start..<end]
    while let last = answer.last, endTokens.contains(last) { answer.removeLast() }
    if answer.isEmpty { return nil }
    self.init(
      prompt: Array(tokens[..<start]), answer: Array(answer), ends: answer.endIndex < end)
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
/// Answers are greedy. An answer counts when it equals its reference token for token and then ends
/// where the reference does; the first other token ends the question.
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

  /// Asks for every `stride`-th reference from `first` on, so that ranks can share the work; `progress` is
  /// told after each how many were asked.
  public func score(
    _ references: [ReferenceAnswer], first: Int = 0, stride: Int = 1,
    progress: (_ asked: Int) -> Void = { _ in }
  ) -> AnswerScore {
    var score = AnswerScore()
    for index in Swift.stride(from: first, to: references.count, by: stride) {
      let reference = references[index]
      score.asked += 1
      if isExact(reference) { score.exact += 1 }
      progress(score.asked)
    }
    return score
  }
  private func isExact(_ reference: ReferenceAnswer) -> Bool {
    var place = 0
    let found = generator.generate(
      prompt: reference.prompt, maximumNewTokens: reference.answer.count + (reference.ends ? 1 : 0),
      sampler: Sampler(), endTokens: endTokens
    ) { token in
      defer { place += 1 }
      return place < reference.answer.count && token == reference.answer[place]
    }
    return found.tokens == reference.answer && (found.finishReason == .stop || !reference.ends)
  }
}
