import Foundation
import JSON
import TestSupport
import Testing
import Tokenizers

@Suite("Tokenizers against the reference library")
struct TokenizerVectorTests {
  private func ids(_ node: JSONNode?) -> [UInt32]? {
    node?.array?.compactMap { $0.integer.map { UInt32($0) } }
  }

  @Test("Ids and texts are the reference's", arguments: Fixtures.names)
  func vectors(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let texts = try Fixtures.texts()
    let rows = try #require(try Fixtures.json("\(name).vectors.json").array)
    #expect(rows.count == texts.count && texts.count > 100)
    for (text, row) in zip(texts, rows) {
      let expected = try #require(ids(row["ids"]))
      #expect(try tokenizer.encode(text) == expected, "\(spelled(text))")
      let special = ids(row["special"]) ?? expected
      #expect(try tokenizer.encode(text, addSpecialTokens: true) == special, "\(spelled(text))")
      let decoded = row["decoded"]?.string ?? text
      #expect(same(tokenizer.decode(expected), decoded), "\(spelled(text))")
      let skipped = row["skipped"]?.string ?? decoded
      #expect(
        same(tokenizer.decode(special, skipSpecialTokens: true), skipped), "\(spelled(text))")
    }
  }

  @Test("A stream of ids gives the text that all of them give", arguments: Fixtures.names)
  func streaming(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    for text in try Fixtures.texts() {
      let ids = try tokenizer.encode(text)
      var decoder = tokenizer.streamingDecoder(skipSpecialTokens: false)
      var result = ""
      for id in ids { result += decoder.append(id) }
      result += decoder.finish()
      #expect(same(result, tokenizer.decode(ids)), "\(spelled(text))")
    }
  }

  @Test(
    "A stream of any bytes gives the text that all of them give", arguments: ["llama2", "mistral"])
  func streamingBytes(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    // A newline, half a character, a letter, and runs that are wrong at their ends or beginnings.
    let runs = [
      ["<0x0A>"], ["<0x0A>", "<0xE2>", "a"], ["<0xE2>", "<0x0A>", "a", "<0x41>"],
      ["a", "<0x41>", "<0xC3>", "<0xA9>", "</s>", "<0xC3>"], ["<0xC3>", "<0xA9>", "<0x41>", "b"],
    ]
    for run in runs {
      let ids = run.compactMap { tokenizer.id(of: $0) }
      try #require(ids.count == run.count)
      for skips in [false, true] {
        var decoder = tokenizer.streamingDecoder(skipSpecialTokens: skips)
        let result = ids.map { decoder.append($0) }.joined() + decoder.finish()
        #expect(same(result, tokenizer.decode(ids, skipSpecialTokens: skips)), "\(run)")
      }
    }
  }

  @Test("A character spread over tokens appears whole, with the last of them")
  func wholeCharacters() throws {
    let tokenizer = try Fixtures.tokenizer("gpt2")
    let ids = try tokenizer.encode("𓀀")
    try #require(ids.count > 1)
    var decoder = tokenizer.streamingDecoder()
    let pieces = ids.map { decoder.append($0) }
    #expect(pieces.dropLast().allSatisfy(\.isEmpty) && pieces.last == "𓀀")
    // Cut inside the character, the rest is what decode gives.
    var cut = tokenizer.streamingDecoder()
    let beginning = ids.dropLast().map { cut.append($0) }.joined()
    #expect(beginning + cut.finish() == tokenizer.decode(ids.dropLast()))
  }

  @Test("One tokenizer encodes on several threads at once")
  func threads() throws {
    let tokenizer = try Fixtures.tokenizer("llama3")
    let texts = try Fixtures.texts()
    let expected = try texts.map { try tokenizer.encode($0) }
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for (text, ids) in zip(texts, expected) {
        #expect((try? tokenizer.encode(text)) == ids)
      }
    }
  }

  @Test("A megabyte without blanks takes seconds, not minutes", arguments: ["gpt2", "llama2"])
  func longWord(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let word = String(repeating: "abcdeéthe", count: 100_000)
    let clock = ThreadClock()
    var ids: [UInt32] = []
    let time = try clock.measure { ids = try tokenizer.encode(word) }
    #expect(same(tokenizer.decode(ids), word))
    // Quadratic merging would take hours; a loaded machine stays far below this.
    #expect(time < .seconds(60))
  }

  @Test(
    "A run of 200,000 blanks or letters takes seconds in every pattern", arguments: Fixtures.names
  )
  func longRuns(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let clock = ThreadClock()
    for character in [" ", "\n", "A", "."] {
      let text = String(repeating: character, count: 200_000) + "x"
      let time = try clock.measure { _ = try tokenizer.encode(text) }
      #expect(time < .seconds(60), "\(spelled(character))")
    }
  }

  @Test("Tokens, ids, sizes and the file's digest can be asked for")
  func questions() throws {
    let tokenizer = try Fixtures.tokenizer("qwen2")
    let id = try #require(tokenizer.id(of: "<|im_end|>"))
    #expect(tokenizer.token(of: id) == "<|im_end|>" && tokenizer.isSpecial(id))
    let tool = try #require(tokenizer.id(of: "[TOOL]"))
    #expect(!tokenizer.isSpecial(tool) && tokenizer.addedTokens.contains { $0.id == tool })
    #expect(tokenizer.id(of: "no such token") == nil)
    #expect(tokenizer.token(of: UInt32(tokenizer.idLimit)) == nil)
    #expect(tokenizer.vocabularySize == 424 && tokenizer.idLimit == 424)
    #expect(tokenizer.decode([UInt32.max, id]) == "<|im_end|>")
    #expect(tokenizer.sha256.count == 64)
  }
}
