import Generation
import Kernels
import Model
import TestSupport
import Testing

@Suite("Exact answers")
struct AnswerScorerTests {
  @Test("An example splits where its tokens begin to count")
  func split() {
    let reference = ReferenceAnswer(
      tokens: [5, 6, 7, 8, 2], counts: [false, false, true, true, true], endTokens: [2])
    #expect(reference == ReferenceAnswer(prompt: [5, 6], answer: [7, 8]))
    #expect(
      ReferenceAnswer(tokens: [5, 2], counts: [false, true], endTokens: [2]) == nil)
    #expect(
      ReferenceAnswer(tokens: [5, 6], counts: [false, false], endTokens: [2]) == nil)
  }

  @Test("The model's own answer is exact, another is not, and the answer must end")
  func score() throws {
    let generator = try TextGenerator(
      decoder: try Decoder(directory: Fixtures.model("llama")), compute: Compute(threads: 1),
      maximumLength: 24)
    let prompt = [1, 17, 4]
    let said = generator.generate(
      prompt: prompt, maximumNewTokens: 6, sampler: Sampler(), endTokens: [])
    let end = said.tokens[5]
    let answer = Array(said.tokens.prefix { $0 != end })
    let scorer = AnswerScorer(generator: generator, endTokens: [end])
    let right = ReferenceAnswer(prompt: prompt, answer: answer)
    let wrong = ReferenceAnswer(prompt: prompt, answer: answer.map { $0 == 9 ? 8 : 9 })
    let score = scorer.score([right, wrong])
    #expect(score.exact == 1 && score.asked == 2 && score.share == 0.5)
    let endless = AnswerScorer(generator: generator, endTokens: [])
    #expect(endless.score([right]).exact == 0)
    #expect(scorer.score([right, wrong], first: 1, stride: 2).asked == 1)
  }
}
