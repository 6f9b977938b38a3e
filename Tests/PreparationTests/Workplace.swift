import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

/// A model's directory for a test: one of the fixture tokenizers, perhaps with a chat template.
final class Workplace {
  let directory: TemporaryDirectory
  let text: ModelText

  /// - Parameters:
  ///   - tokenizer: a name under Tests/Fixtures/tokenizers.
  ///   - template: a name under Tests/Fixtures/templates.
  init(
    _ tokenizer: String = "gpt2", end: String? = "<|im_end|>", template: String? = nil,
    configuration: String = "{}"
  ) throws {
    directory = try TemporaryDirectory()
    try write(
      bytes(of: fixturePath("tokenizers/\(tokenizer).json")), to: directory.path("tokenizer.json"))
    let end = end.map { "\"eos_token\": {\"content\": \"\($0)\"}, \"bos_token\": \"<s>\"" } ?? ""
    try write("{\(end)}".utf8, to: directory.path("tokenizer_config.json"))
    try write(configuration.utf8, to: directory.path("generation_config.json"))
    if let template {
      try write(
        bytes(of: fixturePath("templates/\(template).jinja")),
        to: directory.path("chat_template.jinja"))
    }
    text = try ModelText(directory: directory.path)
  }

  /// Makes a file of these lines; returns its path.
  func file(_ name: String, _ lines: [String]) throws -> String {
    try write((lines.joined(separator: "\n") + "\n").utf8, to: directory.path(name))
    return directory.path(name)
  }

  /// Prepares rows; returns the report.
  func prepare(
    _ rows: [String], name: String = "rows.jsonl",
    _ change: (inout PreparationOptions) -> Void = { _ in }
  ) throws -> PreparationReport {
    var options = PreparationOptions()
    options.inputs = [try file(name, rows)]
    options.output = directory.path("data.h5")
    change(&options)
    return try Preparation(text, options).run()
  }

  /// The examples of a split that was written: their tokens and masks.
  func examples(_ name: SplitName = .train) throws -> [(tokens: [UInt32], mask: [UInt8])] {
    let split = try TokenDataset(path: directory.path("data.h5")).split(name)
    let buffer = ExampleBuffer(
      tokenCapacity: split.tokenCount, sequenceCapacity: split.exampleCount)
    try split.load(Array(0..<split.exampleCount)[...], into: buffer)
    return (0..<buffer.sequenceCount).map {
      (Array(buffer.tokens[buffer.sequence($0)]), Array(buffer.counts[buffer.sequence($0)]))
    }
  }

  /// For each example the text of what counts, stretch by stretch, with what lies between as `|`.
  func counted(_ name: SplitName = .train) throws -> [String] {
    try examples(name).map { example in
      var stretches: [[UInt32]] = []
      var previous: UInt8 = 0
      for (token, flag) in zip(example.tokens, example.mask) {
        if flag == 1 {
          if previous == 0 { stretches.append([]) }
          stretches[stretches.count - 1].append(token)
        }
        previous = flag
      }
      return stretches.map { text.tokenizer.decode($0) }.joined(separator: "|")
    }
  }
}
