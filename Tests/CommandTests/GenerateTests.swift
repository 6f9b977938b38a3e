import Datasets
import Foundation
import JSON
import TestSupport
import Testing

@Suite("Answers", .serialized) struct GenerateTests {
  private let bench: Workbench
  private let model: String

  /// The tiny Llama with a tokenizer of letters, a chat template, and end tokens to be written.
  init() throws {
    bench = try Workbench()
    model = bench.path("model")
    try FileManager.default.copyItem(atPath: bench.model, toPath: model)
    try Workbench.writeTokenizerOfLetters(to: model + "/tokenizer.json")
    try write(
      "tokenizer_config.json",
      #"""
      {"bos_token":"<s>","eos_token":"</s>","chat_template":"{{ bos_token }}{% for m in messages %}<|user|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|bot|>{% endif %}"}
      """#)
    try write("generation_config.json", #"{"eos_token_id":[1]}"#)
  }

  private func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(model)/\(name)"))
  }

  private func answer(_ arguments: String...) throws -> JSONValue {
    let result = try bench.run(["generate", "--model", model, "--json"] + arguments)
    try #require(result.status == 0, "\(result.errors)")
    return try JSONValue(parsing: Data(result.output.utf8))
  }

  @Test("A text begins with the tokenizer's special tokens, a chat with the template's, once")
  func prompts() throws {
    let text = try answer("--prompt", "bab")
    #expect(text == (try answer("--prompt-tokens", "0, 6,5,6")))
    #expect(text.object?.keys.sorted() == ["finish_reason", "text", "tokens"])
    let chat = try answer("--prompt", "ab", "--chat")
    #expect(chat == (try answer("--prompt-tokens", "0,2,5,6,3")))
    // No token of the tokenizer is a dash; the option's value may begin with one.
    #expect(try answer("--prompt", "-bab") == text)
  }

  @Test("A chat takes a template and the token that ends a turn from its options")
  func chatOptions() throws {
    let template = bench.path("template.jinja")
    try Data("<|bot|>{{ messages[0].content }}".utf8).write(to: URL(fileURLWithPath: template))
    let other = try answer("--prompt", "ab", "--chat", "--chat-template", template)
    #expect(other == (try answer("--prompt-tokens", "3,5,6")))
    #expect(other != (try answer("--prompt", "ab", "--chat")))
    let tokens = try #require(other["tokens"]?.array).compactMap(\.int)
    let letter = tokens.first { $0 >= 5 }
    let end = try #require(letter)
    let name = String(UnicodeScalar(UInt8(end < 31 ? 97 + end - 5 : 65 + end - 31)))
    let ended = try answer(
      "--prompt", "ab", "--chat", "--chat-template", template, "--eos-token", name)
    #expect(ended["finish_reason"] == "stop")
    #expect(ended["tokens"]?.array?.compactMap(\.int) == Array(tokens.prefix { $0 != end }))
  }

  @Test("An answer stops at any end token of generation_config.json, which it leaves out")
  func endTokens() throws {
    try write("generation_config.json", #"{"eos_token_id":[]}"#)
    let endless = try answer("--prompt", "ab")
    let free = try #require(endless["tokens"]?.array)
    // All of the model's 64 positions that the prompt's three tokens leave.
    #expect(endless["finish_reason"] == "length" && free.count == 61)
    let end = free[3]
    try write("generation_config.json", "{\"eos_token_id\":[1,\(end.text())]}")
    let stopped = try answer("--prompt", "ab")
    #expect(stopped["finish_reason"] == "stop")
    #expect(stopped["tokens"]?.array == Array(free.prefix { $0 != end }))
  }

  @Test("What is shown while it is made is the text of the JSON")
  func stream() throws {
    let text = try #require(try answer("--prompt", "ab")["text"]?.string)
    let shown = try bench.run(["generate", "--model", model, "--prompt", "ab"])
    #expect(shown.status == 0 && shown.output == text + "\n")
  }

  @Test("A prompt that cannot be answered is refused")
  func wrongPrompts() throws {
    func expect(_ status: Int32, _ words: String, _ arguments: String...) throws {
      let result = try bench.run(["generate", "--model", model] + arguments)
      #expect(result.status == status, "\(arguments)")
      #expect(lastLine(result).contains(words), "\(lastLine(result))")
    }
    try expect(64, "has token 53", "--prompt-tokens", "1,53")
    try expect(64, "''", "--prompt-tokens", "1,,2")
    try expect(64, "positions for", "--prompt", String(repeating: "a", count: 64))
    try expect(64, "--chat needs --prompt", "--chat", "--prompt-tokens", "1")
    try expect(64, "--eos-token goes with --chat", "--prompt", "a", "--eos-token", "b")
    try expect(64, "--chat-template goes with", "--prompt", "a", "--chat-template", "b")
    try expect(64, "--eos-token is 'zz'", "--prompt", "a", "--chat", "--eos-token", "zz")
    try write("tokenizer_config.json", "{}")
    try expect(65, "no chat template", "--chat", "--prompt", "a")
    try FileManager.default.removeItem(atPath: model + "/tokenizer.json")
    try expect(65, "has neither tokenizer.json", "--prompt", "a")
    let ids = try bench.run([
      "generate", "--model", model, "--prompt-tokens", "1,2", "--max-new-tokens", "3",
    ])
    #expect(ids.status == 0 && ids.output.split(separator: ",").count == 3)
  }

  @Test("Exact answers are counted, and the same on any number of ranks", arguments: [1, 3])
  func exactAnswers(ranks: Int) throws {
    let data = bench.path("answers.h5")
    let writer = try TokenDatasetWriter(path: data, vocabularySize: 53)
    for start in 4..<12 {
      let prompt = [start, 7]
      let said = try #require(
        try answer("--prompt-tokens", "\(start),7", "--max-new-tokens", "4")["tokens"]?.array
      ).compactMap(\.int)
      // An odd one gets a wrong last token; none ends, so an answer may go on.
      var reference = said
      if start % 2 == 1 { reference[reference.count - 1] ^= 1 }
      let tokens = (prompt + reference).map { UInt32($0) }
      try writer.append(
        tokens: tokens, lossMask: tokens.indices.map { $0 < 2 ? 0 : 1 }, to: .validation)
    }
    try writer.append(tokens: [4, 5], lossMask: [0, 0], to: .validation)
    try writer.append(tokens: [4, 5], lossMask: [0, 1], to: .train)
    try writer.finish()
    let arguments = ["evaluate", "--model", model, "--data", data, "--json"]
    let scored = try bench.mpirun(ranks: ranks, arguments + ["--generate"])
    try #require(scored.status == 0, "\(scored.errors)")
    let found = try JSONValue(parsing: Data(scored.output.utf8))
    #expect(found["answers"] == 8 && found["exact_answers"] == 4 && found["exact_match"] == 0.5)
    #expect(found["examples"] == 9)
    let plain = try bench.run(arguments)
    let keys = try JSONValue(parsing: Data(plain.output.utf8)).object?.keys.sorted()
    #expect(keys == ["examples", "loss", "perplexity", "tokens"])
  }
}
