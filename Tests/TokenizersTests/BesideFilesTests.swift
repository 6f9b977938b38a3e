import Foundation
import JSON
import Testing
import Tokenizers

@Suite("Files beside tokenizer.json")
struct BesideFilesTests {
  @Test("What they add gives the ids that transformers gives")
  func reference() throws {
    let file = try Fixtures.json("beside.json")
    let texts = try #require(file["texts"]?.array).compactMap(\.string)
    let cases = try #require(file["cases"]?.array)
    #expect(cases.count == 20)
    for (number, item) in cases.enumerated() {
      let name = try #require(item["tokenizer"]?.string)
      let scratch = try Scratch()
      try FileManager.default.copyItem(
        atPath: "\(Fixtures.directory)/\(name).json", toPath: scratch.path + "/tokenizer.json")
      for (name, content) in item["files"]?.object?.members ?? [] {
        _ = try scratch.file(name, content.string ?? "")
      }
      let tokenizer = try Tokenizer(directory: scratch.path)
      for (index, text) in texts.enumerated() {
        let expected = (item["ids"]?.array?[index].array ?? []).compactMap(\.integer)
        let ids = try tokenizer.encode(text)
        #expect(ids.map { Int($0) } == expected, "case \(number), \(text.debugDescription)")
        let skipped = item["skipped"]?.array?[index].string ?? ""
        #expect(
          same(tokenizer.decode(ids, skipSpecialTokens: true), skipped),
          "case \(number), \(text.debugDescription)")
      }
    }
  }

  @Test("The digest is the file's unless something is added")
  func digest() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/tokenizer.json"
    try FileManager.default.copyItem(
      atPath: "\(Fixtures.directory)/qwen2.json", toPath: path)
    let alone = try Tokenizer(contentsOf: path)
    _ = try scratch.file("tokenizer_config.json", #"{"eos_token": "<|im_end|>"}"#)
    #expect(try Tokenizer(directory: scratch.path).sha256 == alone.sha256)
    _ = try scratch.file(
      "tokenizer_config.json", #"{"added_tokens_decoder": {"424": {"content": "<new>"}}}"#)
    let more = try Tokenizer(directory: scratch.path)
    #expect(more.sha256 != alone.sha256 && more.vocabularySHA256 != alone.vocabularySHA256)
    #expect(more.namedOnly.isEmpty)
  }
}
