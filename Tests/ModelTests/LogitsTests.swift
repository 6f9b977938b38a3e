import Foundation
import JSON
import Kernels
import Model
import Tensors
import TestSupport
import Testing

/// Every base family against transformers: logits of each sequence, and the loss.
@Suite("Logits of the base models")
struct LogitsTests {
  static let bases =
    ((try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path("model"))) ?? [])
    .sorted()

  @Test("Every base that was made is there, and one of every family")
  func families() throws {
    let expected = try #require(Fixtures.json("manifest.json")["model"]?.object)
    var found: [String: JSONValue] = [:]
    for base in Self.bases {
      found[base] = .string(
        try DecoderConfiguration(directory: Fixtures.model(base)).modelType)
    }
    #expect(found == expected)
    #expect(Set(Fixtures.families) == Set(DecoderConfiguration.modelTypes))
  }

  @Test("Logits and loss equal transformers'", arguments: bases)
  func logits(_ base: String) throws {
    let inputs = try GoldenInputs()
    let compute = Compute(threads: 1)
    let decoder = try Decoder(directory: Fixtures.model(base))
    try decoder.prepare(
      for: .inference, maximumTokens: inputs.tokenCount,
      maximumSequences: inputs.tokens.count)
    let batch = decoder.makeBatch(
      maximumTokens: inputs.tokenCount, maximumSequences: inputs.tokens.count)
    fill(batch, with: inputs)
    let pass = Pass(batch: batch, compute: compute, isTraining: false)

    let expected = try #require(
      try Fixtures.tensors("model/\(base)/golden.safetensors")["logits"])
    let vocabulary = decoder.configuration.vocabularySize
    let buffer = FloatBuffer(count: inputs.tokenCount * vocabulary)
    let logits = buffer.view(rows: inputs.tokenCount, columns: vocabulary)
    let rows = IndexBuffer(Array(0..<inputs.tokenCount))
    withExtendedLifetime(rows) { decoder.logits(pass, rows: rows.all, into: logits) }
    let error = relativeError(
      logits.elements.map(Double.init), expected.values.map(Double.init))
    #expect(error <= 1e-5, "logits are off by \(error) of their norm")

    let sum = decoder.evaluate(pass)
    let loss = try #require(try Fixtures.json("model/\(base)/golden.json")["loss"]?.double)
    #expect(abs(sum.loss / Double(sum.targetCount) - loss) <= 1e-5 * loss)
    _ = buffer.count
  }

  @Test(
    "Read token by token, dynamic positions grow with the sequence as in transformers",
    arguments: ["llama-dynamic", "qwen3-dynamic"])
  func growing(_ base: String) throws {
    let tokens = try #require(GoldenInputs().tokens.first)
    let decoder = try Decoder(directory: Fixtures.model(base))
    let c = decoder.configuration
    try decoder.prepare(for: .inference, maximumTokens: tokens.count, maximumSequences: 1)
    let batch = decoder.makeBatch(maximumTokens: tokens.count, maximumSequences: 1)
    let cache = KeyValueCache(
      blockCount: c.blockCount, keyValueSize: c.keyValueSize, capacity: tokens.count)
    let compute = Compute(threads: 1)
    let buffer = FloatBuffer(count: tokens.count * c.vocabularySize)
    let logits = buffer.view(rows: tokens.count, columns: c.vocabularySize)
    for rows in [0..<4] + (4..<tokens.count).map({ $0..<($0 + 1) }) {
      batch.clear()
      batch.beginSequence(startPosition: rows.lowerBound)
      for token in tokens[rows] { batch.append(token: token, isTarget: false) }
      batch.endSequence()
      let indices = IndexBuffer(Array(0..<rows.count))
      withExtendedLifetime(indices) {
        decoder.logits(
          Pass(batch: batch, compute: compute, isTraining: false, cache: cache),
          rows: indices.all, into: logits.rows(rows))
      }
    }
    let expected = try #require(
      try Fixtures.tensors("model/\(base)/golden.safetensors")["cached_logits"])
    let error = relativeError(
      logits.elements.map(Double.init), expected.values.map(Double.init))
    #expect(error <= 1e-5, "logits are off by \(error) of their norm")
    _ = buffer.count
  }

  @Test(
    "A sequence alone gives the logits that it has among others",
    arguments: Fixtures.families + ["llama-dynamic"])
  func alone(_ base: String) throws {
    let inputs = try GoldenInputs()
    let decoder = try Decoder(directory: Fixtures.model(base))
    try decoder.prepare(
      for: .inference, maximumTokens: inputs.tokenCount, maximumSequences: 3)
    let compute = Compute(threads: 1)
    let batch = decoder.makeBatch(maximumTokens: inputs.tokenCount, maximumSequences: 3)
    fill(batch, with: inputs)
    let together = decoder.evaluate(Pass(batch: batch, compute: compute, isTraining: false))
    var apart = LossSum()
    for (tokens, mask) in zip(inputs.tokens, inputs.lossMask) {
      batch.clear()
      append(tokens, mask, to: batch)
      apart += decoder.evaluate(Pass(batch: batch, compute: compute, isTraining: false))
    }
    #expect(together.targetCount == apart.targetCount)
    #expect(abs(together.loss - apart.loss) <= 1e-5 * apart.loss)
  }
}

/// Fills a batch with the golden sequences.
func fill(_ batch: TokenBatch, with inputs: GoldenInputs) {
  batch.clear()
  for (tokens, mask) in zip(inputs.tokens, inputs.lossMask) { append(tokens, mask, to: batch) }
}

private func append(_ tokens: [Int], _ mask: [Int], to batch: TokenBatch) {
  batch.beginSequence()
  for (token, isTarget) in zip(tokens, mask) {
    batch.append(token: token, isTarget: isTarget == 1)
  }
  batch.endSequence()
}
