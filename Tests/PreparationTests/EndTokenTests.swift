import Foundation
import Preparation
import TestSupport
import Testing

@Suite("Begin and end tokens of a model's text")
struct EndTokenTests {
  private func place(_ files: [String: String]) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    try write(
      bytes(of: fixturePath("tokenizers/llama2.json")), to: directory.path("tokenizer.json"))
    for (name, text) in files { try write(text.utf8, to: directory.path(name)) }
    return directory
  }

  @Test("An end token that the tokenizer lacks is an error that names both")
  func missing() throws {
    let directory = try place([
      "tokenizer_config.json": #"{"eos_token": "<|none|>"}"#,
      "config.json": #"{"eos_token_id": 2}"#,
    ])
    #expect { _ = try ModelText(directory: directory.path) } throws: { error in
      let text = "\(error)"
      return text.contains("'<|none|>'") && text.contains("2 ('</s>')")
        && text.contains("--eos-token")
    }
    #expect(try ModelText(directory: directory.path, endOfText: "</s>").endOfText == 2)
    let named = try place([
      "tokenizer_config.json":
        #"{"eos_token": "<|none|>", "added_tokens_decoder": {"615": {"content": "<|none|>"}}}"#
    ])
    #expect(try ModelText(directory: named.path).endOfText == 615)
  }

  @Test("A text that brings its begin token is told of")
  func doubled() throws {
    let directory = try place([
      "tokenizer_config.json": #"{"eos_token": "</s>", "bos_token": "<s>"}"#
    ])
    let rows = [
      #"{"text": "<s>ab"}"#, #"{"text": "ab"}"#, #"{"prompt": "<s>a", "completion": "b"}"#,
    ]
    let path = directory.path("rows.jsonl")
    try write(rows.joined(separator: "\n").utf8, to: path)
    var options = PreparationOptions()
    options.inputs = [path]
    options.output = directory.path("data.h5")
    let report = try Preparation(ModelText(directory: directory.path), options).run()
    #expect(report.doubleBegins == 2)
    #expect(report.warnings.contains { $0.hasPrefix("2 texts begin with the begin token") })
    #expect(report.json["double_begin_token"]?.int == 2)
  }
}
