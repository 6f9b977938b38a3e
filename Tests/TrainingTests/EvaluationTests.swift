import DataParallel
import Datasets
import Foundation
import Kernels
import Model
import TestSupport
import Testing
import Training

@Suite("Evaluation") struct EvaluationTests {
  private func figures(
    _ split: TokenSplit, microBatchSize: Int, threads: Int = 1
  ) throws -> Evaluation.Figures {
    let decoder = try Decoder(directory: fixturePath("model/llama"))
    let tokens = split.maximumTokenCount(ofExamples: microBatchSize)
    try decoder.prepare(
      for: .inference, maximumTokens: tokens, maximumSequences: microBatchSize)
    return try Evaluation(
      split: split, microBatchSize: microBatchSize, communicator: Communicator(alone: ())
    ).run(
      decoder,
      batch: decoder.makeBatch(maximumTokens: tokens, maximumSequences: microBatchSize),
      examples: ExampleBuffer(tokenCapacity: tokens, sequenceCapacity: microBatchSize),
      compute: Compute(threads: threads))
  }

  @Test("Loss and accuracy are means over the counted tokens, from logits by themselves")
  func reference() throws {
    let tiny = try TinyRun()
    let split = try TokenDataset(path: tiny.data).train
    let found = try figures(split, microBatchSize: 1)
    let decoder = try Decoder(directory: tiny.model)
    let size = decoder.configuration.vocabularySize
    try decoder.prepare(for: .inference, maximumTokens: 13, maximumSequences: 1)
    let compute = Compute(threads: 1)
    let batch = decoder.makeBatch(maximumTokens: 13, maximumSequences: 1)
    var (loss, correct, count) = (0.0, 0, 0)
    for example in 0..<split.exampleCount {
      let tokens = ExampleBufferReader(split, example).tokens
      batch.clear()
      batch.beginSequence()
      for (token, _) in tokens { batch.append(token: token, isTarget: false) }
      batch.endSequence()
      let logits = TestMatrix(tokens.count, size)
      let rows = RowIndices(tokens.count)
      decoder.logits(
        Pass(batch: batch, compute: compute, isTraining: false), rows: rows.view,
        into: logits.view)
      for place in 1..<tokens.count where tokens[place].counts {
        let row = (0..<size).map { Double(logits.view[place - 1, $0]) }
        let largest = row.max() ?? 0
        let sum = row.reduce(0) { $0 + exp($1 - largest) }
        loss += log(sum) + largest - row[tokens[place].token]
        correct += row.firstIndex(of: largest) == tokens[place].token ? 1 : 0
        count += 1
      }
    }
    #expect(found.tokens == count && found.examples == split.exampleCount)
    #expect(abs(found.loss - loss / Double(count)) < 1e-5 * found.loss)
    #expect(found.accuracy == Double(correct) / Double(count))
    #expect(found.perplexity == exp(found.loss))
  }

  @Test("How the split is cut into micro-batches shows in no more than rounding")
  func microBatches() throws {
    let tiny = try TinyRun()
    let split = try TokenDataset(path: tiny.data).train
    let one = try figures(split, microBatchSize: 1)
    for size in [2, 4, 9, 20] {
      let other = try figures(split, microBatchSize: size, threads: 2)
      #expect(abs(other.loss - one.loss) < 1e-6 * one.loss)
      #expect(other.tokens == one.tokens && other.accuracy == one.accuracy)
    }
  }
}
