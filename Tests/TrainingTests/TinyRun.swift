import DataParallel
import Datasets
import Foundation
import JSON
import Logging
import Tensors
import TestSupport
import Training

/// A run of the trainer on the tiny Llama of the golden fixtures, in this process.
struct TinyRun {
  let directory: TemporaryDirectory
  let model = fixturePath("model/llama")
  var data: String { directory.path("data.h5") }

  /// Examples of 2 to 13 tokens, of which about two thirds count; one without any that counts.
  init(examples: Int = 9, validation: Int = 4) throws {
    directory = try TemporaryDirectory()
    let writer = try TokenDatasetWriter(path: directory.path("data.h5"), vocabularySize: 53)
    let random = CounterRandom(seed: 21)
    var draw: UInt64 = 0
    func next(_ bound: Int) -> Int {
      draw += 1
      return Int(random.integer(draw, below: UInt64(bound)))
    }
    for (split, count) in [(SplitName.train, examples), (.validation, validation)] {
      for example in 0..<count {
        let length = 2 + next(12)
        try writer.append(
          tokens: (0..<length).map { _ in UInt32(next(53)) },
          lossMask: (0..<length).map { _ in example != 3 && next(3) > 0 ? 1 : 0 }, to: split)
      }
    }
    try writer.finish()
  }

  /// Opens a run with these settings besides the small ones.
  func open(_ values: [String: JSONValue], output: String = "out") throws -> TrainingRun {
    var settings = RunSettings()
    var all: [String: JSONValue] = [
      "model": .string(model), "data": .string(data), "threads": 1, "seed": 3,
      "output_dir": .string(directory.path(output)), "global_batch_size": 4,
      "learning_rate": 0.01, "max_steps": 4, "num_epochs": 100, "logging_steps": 1,
    ]
    all.merge(values) { $1 }
    for (key, value) in all { try settings.set(key, value: value, source: .commandLine) }
    var logger = Logger(label: "tiny")
    logger.logLevel = .critical
    return try TrainingRun(
      RunConfiguration(settings), model: model, data: data,
      communicator: Communicator(alone: ()), logger: logger)
  }

  /// The lines of a run's metrics with an event of this name.
  func metrics(_ event: String, output: String = "out") throws -> [JSONValue] {
    try String(contentsOfFile: directory.path(output) + "/metrics.jsonl", encoding: .utf8)
      .split(separator: "\n").map { try JSONValue(parsing: Data($0.utf8)) }
      .filter { $0["event"]?.string == event }
  }
}

/// One example of a split, read by itself.
struct ExampleBufferReader {
  let tokens: [(token: Int, counts: Bool)]

  init(_ split: TokenSplit, _ example: Int) {
    let length = split.tokenCount(of: example)
    let buffer = ExampleBuffer(tokenCapacity: length, sequenceCapacity: 1)
    try? split.append(example, to: buffer)
    tokens = buffer.sequence(0).map { (Int(buffer.tokens[$0]), buffer.counts[$0] != 0) }
  }
}

/// The numbers of the first rows of a matrix, in memory of their own.
final class RowIndices {
  private let buffer: IndexBuffer
  var view: IndexView { buffer.all }

  init(_ count: Int) { buffer = IndexBuffer(Array(0..<count)) }
}
