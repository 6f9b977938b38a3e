import DataParallel
import Datasets
import Generation
import Kernels
import Model

/// A split's examples as questions: what does not count is asked, what counts is the answer.
struct ReferenceAnswers {
  /// Examples with a question and an answer, in file order.
  let all: [ReferenceAnswer]
  /// Tokens of the split's longest example.
  let longest: Int
  private let endTokens: Set<Int>

  /// Reads a split.
  init(_ split: TokenSplit, endTokens: Set<Int>) throws {
    self.endTokens = endTokens
    longest = split.maximumTokenCount(ofExamples: 1)
    let buffer = ExampleBuffer(tokenCapacity: longest, sequenceCapacity: 1)
    var answers: [ReferenceAnswer] = []
    for example in 0..<split.exampleCount {
      try split.load([example], into: buffer)
      let places = buffer.sequence(0)
      let answer = ReferenceAnswer(
        tokens: buffer.tokens[places].map { Int($0) },
        counts: buffer.counts[places].map { $0 != 0 }, endTokens: endTokens)
      if let answer { answers.append(answer) }
    }
    all = answers
  }

  /// A scorer with room for every question, its answer and `spare` tokens more.
  func scorer(_ decoder: Decoder, _ compute: Compute, spare: Int) throws(ModelError) -> AnswerScorer
  {
    let positions =
      decoder.configuration.maximumPositions - decoder.virtualTokenCount - decoder.positionOffset
    return AnswerScorer(
      generator: try TextGenerator(
        decoder: decoder, compute: compute, maximumLength: min(longest + spare, positions)),
      endTokens: endTokens)
  }

  /// Lets the model answer, each rank a share of the questions; the score is equal on all ranks.
  func score(_ scorer: AnswerScorer, _ communicator: Communicator) throws -> AnswerScore {
    let own = scorer.score(all, first: communicator.rank, stride: communicator.worldSize)
    var total = AnswerScore()
    total.exact = Int(try communicator.allReduce(Int64(own.exact), .sum))
    total.asked = Int(try communicator.allReduce(Int64(own.asked), .sum))
    return total
  }
}
