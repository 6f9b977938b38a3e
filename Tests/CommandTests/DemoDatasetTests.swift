import Datasets
import Foundation
import JSON
import Testing

@Suite("The demo's data") struct DemoDatasetTests {
  /// Where the program's resources lie in the source tree.
  static let directory = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Sources/swift-peft-train/Demo")

  /// An example cut where the loss begins to count: what is given, and what is to be found.
  struct Example {
    let prompt: [UInt32]
    let answer: [UInt32]
  }

  static func examples(_ split: TokenSplit) throws -> [Example] {
    let buffer = ExampleBuffer(
      tokenCapacity: split.maximumTokenCount(ofExamples: 1), sequenceCapacity: 1)
    return try (0..<split.exampleCount).map { index in
      buffer.removeAll()
      try split.append(index, to: buffer)
      let range = buffer.sequence(0)
      let tokens = Array(buffer.tokens[range])
      let counts = Array(buffer.counts[range])
      let begin = counts.firstIndex(of: 1) ?? counts.count
      #expect(counts[begin...].allSatisfy { $0 == 1 }, "example \(index) counts in pieces")
      return Example(prompt: Array(tokens[..<begin]), answer: Array(tokens[begin...]))
    }
  }

  @Test("Held-out examples share no input with training ones, and none is twice there")
  func disjoint() throws {
    let dataset = try TokenDataset(path: Self.directory.appendingPathComponent("demo.h5").path)
    let train = try Self.examples(dataset.train)
    let validation = try Self.examples(try #require(dataset.validation))
    let seen = Set(train.map(\.prompt))
    let asked = Set(validation.map(\.prompt))
    #expect(train.count >= 2000 && validation.count >= 100)
    #expect(seen.count == train.count && asked.count == validation.count)
    #expect(seen.isDisjoint(with: asked))
    // Answers are of the same kind, but they too are new.
    #expect(Set(train.map(\.answer)).isDisjoint(with: validation.map(\.answer)))
  }

  @Test("Each example has a prompt and an answer that ends with the base's end token")
  func form() throws {
    let dataset = try TokenDataset(path: Self.directory.appendingPathComponent("demo.h5").path)
    let config = try JSONValue(
      parsing: Data(contentsOf: Self.directory.appendingPathComponent("config.json")))
    #expect(config["vocab_size"]?.int == dataset.vocabularySize)
    let end = UInt32(try #require(config["eos_token_id"]?.int))
    for split in [dataset.train, try #require(dataset.validation)] {
      for example in try Self.examples(split) {
        #expect(!example.prompt.isEmpty && example.answer.count > 1)
        #expect(example.answer.last == end && !example.answer.dropLast().contains(end))
      }
    }
  }
}
