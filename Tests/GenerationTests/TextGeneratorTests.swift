import Generation
import Kernels
import Model
import Tensors
import TestSupport
import Testing

@Suite("Text generation")
struct TextGeneratorTests {
  @Test(
    "Cached generation gives the tokens that whole passes give",
    arguments: Fixtures.families + ["llama-llama3", "llama-yarn"])
  func cache(_ base: String) throws {
    let prompt = [1, 17, 4, 33, 8]
    let compute = Compute(threads: 1)
    let generator = try TextGenerator(
      decoder: try Decoder(directory: Fixtures.model(base)), compute: compute, maximumLength: 24)
    let answer = generator.generate(
      prompt: prompt, maximumNewTokens: 16, sampler: Sampler(), endTokens: [])
    #expect(answer.tokens.count == 16 && answer.finishReason == .length)

    let decoder = try Decoder(directory: Fixtures.model(base))
    try decoder.prepare(for: .inference, maximumTokens: 24, maximumSequences: 1)
    var tokens = prompt
    for expected in answer.tokens {
      let next = wholePass(decoder, tokens, compute)
      #expect(next == expected, "after \(tokens.count) tokens")
      tokens.append(expected)
    }
  }

  /// The most likely token behind `tokens`, without a cache.
  private func wholePass(_ decoder: Decoder, _ tokens: [Int], _ compute: Compute) -> Int {
    let batch = decoder.makeBatch(maximumTokens: 24, maximumSequences: 1)
    batch.clear()
    batch.beginSequence()
    for token in tokens { batch.append(token: token, isTarget: false) }
    batch.endSequence()
    let buffer = FloatBuffer(count: decoder.configuration.vocabularySize)
    let logits = buffer.view(rows: 1, columns: buffer.count)
    let rows = IndexBuffer([tokens.count - 1])
    withExtendedLifetime(rows) {
      decoder.logits(
        Pass(batch: batch, compute: compute, isTraining: false), rows: rows.all, into: logits)
    }
    let next = Sampler().choose(from: logits, draw: 0)
    _ = buffer.count
    return next
  }

  @Test("An end token ends the answer and is left out")
  func endToken() throws {
    let compute = Compute(threads: 1)
    let generator = try TextGenerator(
      decoder: try Decoder(directory: Fixtures.model("llama")), compute: compute,
      maximumLength: 24)
    let free = generator.generate(
      prompt: [1, 17], maximumNewTokens: 8, sampler: Sampler(), endTokens: [])
    let end = free.tokens[3]
    let ended = generator.generate(
      prompt: [1, 17], maximumNewTokens: 8, sampler: Sampler(), endTokens: [end])
    let expected = free.tokens.prefix { $0 != end }
    #expect(ended.tokens == Array(expected) && ended.finishReason == .stop)
  }

  @Test("A seed gives the same answer, another seed another one")
  func seeds() throws {
    let compute = Compute(threads: 1)
    let generator = try TextGenerator(
      decoder: try Decoder(directory: Fixtures.model("llama")), compute: compute,
      maximumLength: 40)
    func answer(_ seed: UInt64) -> [Int] {
      generator.generate(
        prompt: [1, 17], maximumNewTokens: 32,
        sampler: Sampler(temperature: 1.5, topP: 0.95, seed: seed), endTokens: []
      ).tokens
    }
    #expect(answer(3) == answer(3))
    #expect(answer(3) != answer(4))
  }

  @Test("Sampling keeps the smallest set that reaches the share")
  func topP() {
    let buffer = FloatBuffer(count: 4)
    let logits = buffer.view(rows: 1, columns: 4)
    // Probabilities 0.5, 0.25, 0.125, 0.125.
    logits.assign([3, 2.306853, 1.613706, 1.613706])
    var seen: Set<Int> = []
    for draw in 0..<200 {
      seen.insert(Sampler(temperature: 1, topP: 0.6, seed: 9).choose(from: logits, draw: draw))
    }
    #expect(seen == [0, 1])
    #expect(Sampler().choose(from: logits, draw: 0) == 0)
    _ = buffer.count
  }
}
