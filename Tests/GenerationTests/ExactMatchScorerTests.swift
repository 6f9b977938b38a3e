import Generation
import Kernels
import Model
import TestSupport
import Testing

@Suite("Exact match")
struct ExactMatchScorerTests {
  @Test("An example splits where its tokens begin to count")
  func split() {
    let reference = PromptCompletion(
      tokens: [5, 6, 7, 8, 2], counts: [false, false, true, true, true], endTokens: [2])
    #expect(reference == PromptCompletion(prompt: [5, 6], completion: [7, 8]))
    #expect(
      PromptCompletion(tokens: [5, 2], counts: [false, true], endTokens: [2]) == nil)
    #expect(
      PromptCompletion(tokens: [5, 6], counts: [false, false], endTokens: [2]) == nil)
  }

  @Test("The model's own completion matches, another does not, and a completion must end")
  func score() throws {
    let generator = try TextGenerator(
      decoder: try Decoder(directory: Fixtures.model("llama")), compute: Compute(threads: 1),
      maximumLength: 24)
    let prompt = [1, 17, 4]
    let said = generator.generate(
      prompt: prompt, maximumNewTokens: 6, sampler: Sampler(), endTokens: [])
    let end = said.tokens[5]
    let completion = Array(said.tokens.prefix { $0 != end })
    let scorer = ExactMatchScorer(generator: generator, endTokens: [end])
    let right = PromptCompletion(prompt: prompt, completion: completion)
    let wrong = PromptCompletion(prompt: prompt, completion: completion.map { $0 == 9 ? 8 : 9 })
    let score = scorer.score([right, wrong])
    #expect(score.matches == 1 && score.count == 2 && score.share == 0.5)
    let endless = ExactMatchScorer(generator: generator, endTokens: [])
    #expect(endless.score([right]).matches == 0)
    #expect(scorer.score([right, wrong], first: 1, stride: 2).count == 1)
  }
}
