import Kernels
import Model

/// A prompt and the completion that is expected to it, in tokens.
public struct PromptCompletion: Sendable, Hashable {
  /// What the model is given.
  public let prompt: [Int]
  /// What it should say, without the end token.
  public let completion: [Int]
  /// Whether the completion must end there; not where the reference was cut off.
  public let ends: Bool

  /// A prompt with its completion.
  public init(prompt: [Int], completion: [Int], ends: Bool = true) {
    self.prompt = prompt
    self.completion = completion
    self.ends = ends
  }

  /// Splits a dataset's example where its tokens begin to count.
  ///
  /// The prompt is what comes before, the completion what counts from there on, without end tokens at its
  /// end. An example that has none there was cut off: a completion of it may go on.
  ///
  /// - Parameters:
  ///   - tokens: the example's ids.
  ///   - counts: whether each token counts in the loss.
  ///   - endTokens: ids that end a completion.
  /// - Returns: nil where the example has no prompt or no completion.
  public init?(tokens: [Int], counts: [Bool], endTokens: Set<Int>) {
    guard let start = counts.indices.first(where: { $0 > 0 && counts[$0] }) else { return nil }
    let end = counts[start...].firstIndex(of: false) ?? tokens.endIndex
    var completion = tokens[start..<end]
    while let last = completion.last, endTokens.contains(last) { completion.removeLast() }
    if completion.isEmpty { return nil }
    self.init(
      prompt: Array(tokens[..<start]), completion: Array(completion),
      ends: completion.endIndex < end)
  }
}

/// Lets a model complete prompts, and counts the completions that are the references' own: the metric
/// *exact match*.
///
/// Decoding is greedy. A completion matches when it equals its reference token for token and then ends
/// where the reference does; the first other token ends it.
public struct ExactMatchScorer {
  /// How many completions were given word for word.
  public struct Score: Sendable, Hashable {
    /// Completions equal to their references, token for token.
    public var matches = 0
    /// References asked.
    public var count = 0

    /// The share of exact matches; 0 where nothing is asked.
    public var share: Double { count == 0 ? 0 : Double(matches) / Double(count) }
  }

  private let generator: TextGenerator
  private let endTokens: Set<Int>

  /// A scorer on a generator that is long enough for prompt, completion and end token.
  public init(generator: TextGenerator, endTokens: Set<Int>) {
    self.generator = generator
    self.endTokens = endTokens
  }

  /// The model's completion of a prompt, at most `maximumNewTokens` long.
  public func completion(of prompt: [Int], maximumNewTokens: Int) -> GeneratedTokens {
    generator.generate(
      prompt: prompt, maximumNewTokens: maximumNewTokens, sampler: Sampler(),
      endTokens: endTokens)
  }

  /// Asks for every `stride`-th reference from `first` on, so that ranks can share the work; `progress` is
  /// told after each how many were asked.
  public func score(
    _ references: [PromptCompletion], first: Int = 0, stride: Int = 1,
    progress: (_ asked: Int) -> Void = { _ in }
  ) -> Score {
    var score = Score()
    for index in Swift.stride(from: first, to: references.count, by: stride) {
      let reference = references[index]
      score.count += 1
      if matches(reference) { score.matches += 1 }
      progress(score.count)
    }
    return score
  }

  private func matches(_ reference: PromptCompletion) -> Bool {
    var place = 0
    let found = generator.generate(
      prompt: reference.prompt,
      maximumNewTokens: reference.completion.count + (reference.ends ? 1 : 0),
      sampler: Sampler(), endTokens: endTokens
    ) { token in
      defer { place += 1 }
      return place < reference.completion.count && token == reference.completion[place]
    }
    return found.tokens == reference.completion && (found.finishReason == .stop || !reference.ends)
  }
}
