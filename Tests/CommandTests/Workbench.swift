import Datasets
import Foundation
import JSON
import Tensors
import TestSupport
import Testing

/// A directory with a small uneven dataset, and the built program to run on it.
struct Workbench {
  let directory: TemporaryDirectory
  /// The tiny Llama of the golden fixtures.
  let model = fixturePath("model/llama")
  var data: String { directory.path("data.h5") }

  static let program = ProcessRunner.built("swift-peft-train")

  /// Whether `mpirun` starts several programs at all: Open MPI 5.0.7's ends by a signal (Debian 13).
  private static let startsSeveral: Bool = {
    let start = ["-n", "1", "true"]
    let result = try? ProcessRunner.run(
      URL(fileURLWithPath: "/usr/bin/env"), ["mpirun", "--oversubscribe"] + start + [":"] + start,
      environment: ProcessRunner.mpirunEnvironment)
    return result?.status == 0
  }()

  /// Cancels the test where `mpirun` does not start several programs with one command.
  static func requireSeveralPrograms() throws {
    guard startsSeveral else {
      try Test.cancel("this mpirun does not start several programs with one command")
    }
  }

  init() throws {
    directory = try TemporaryDirectory()
    try Workbench.writeDataset(to: directory.path("data.h5"))
  }

  func path(_ name: String) -> String { directory.path(name) }

  /// 13 training examples of 1 to 14 tokens and 5 for validation, some without a counted token: a
  /// number that no batch size or rank count divides.
  static func writeDataset(
    to path: String, vocabulary: Int = 53, counts: Bool = true, tokenBelow: Int? = nil
  ) throws {
    let writer = try TokenDatasetWriter(path: path, vocabularySize: vocabulary)
    let random = CounterRandom(seed: 5)
    var draw: UInt64 = 0
    func next(_ bound: Int) -> Int {
      draw += 1
      return Int(random.integer(draw, below: UInt64(bound)))
    }
    for (split, examples) in [(SplitName.train, 13), (.validation, 5)] {
      for _ in 0..<examples {
        let length = 1 + next(14)
        try writer.append(
          tokens: (0..<length).map { _ in UInt32(next(tokenBelow ?? vocabulary)) },
          lossMask: (0..<length).map { _ in counts && next(10) < 7 ? 1 : 0 }, to: split)
      }
    }
    try writer.finish()
  }

  /// A tokenizer of 53 tokens, a letter each behind `<s>`, `</s>`, `<|user|>`, `<|bot|>` and a space;
  /// it puts `<s>` in front of texts.
  static func writeTokenizerOfLetters(to path: String) throws {
    let letters = (0..<26).map { String(UnicodeScalar(UInt8(97 + $0))) }
    let tokens =
      ["<s>", "</s>", "<|user|>", "<|bot|>", " "] + letters + letters.map { $0.uppercased() }
    let vocabulary = tokens.prefix(53).enumerated().map { "\(JSONText.quoted($1)):\($0)" }
    let added = (0..<4).map {
      #"{"id":\#($0),"content":"\#(tokens[$0])","special":true,"normalized":false}"#
    }
    let text = """
      {"version":"1.0","added_tokens":[\(added.joined(separator: ","))],"normalizer":null,
       "pre_tokenizer":null,"decoder":{"type":"Fuse"},
       "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>",
       "type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>",
       "ids":[0],"tokens":["<s>"]}}},
       "model":{"type":"BPE","vocab":{\(vocabulary.joined(separator: ","))},"merges":[]}}
      """
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  /// Options of a run that exercises dropout, accumulation, warm-up and clipping.
  func options(output: String) -> [String] {
    [
      "--model", model, "--data", data, "--output-dir", output, "--global-batch-size", "5",
      "--num-epochs", "4", "--learning-rate", "0.02", "--warmup-steps", "2", "--r", "3",
      "--lora-dropout", "0.1", "--target-modules", "all-linear", "--logging-steps", "1",
    ]
  }

  func run(_ arguments: [String], environment: [String: String] = [:]) throws -> ProcessResult {
    try ProcessRunner.run(Self.program, arguments, environment: environment)
  }

  func mpirun(ranks: Int, _ arguments: [String]) throws -> ProcessResult {
    try ProcessRunner.mpirun(ranks: ranks, Self.program, arguments)
  }

  /// The lines of a run's metrics.
  func metrics(_ output: String) throws -> [JSONValue] {
    try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8)
      .split(separator: "\n").map { try JSONValue(parsing: Data($0.utf8)) }
  }
}

/// The last line that a program wrote to standard error.
func lastLine(_ result: ProcessResult) -> String {
  result.errors.split(separator: "\n").last.map(String.init) ?? ""
}
