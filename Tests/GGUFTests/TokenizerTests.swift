import Foundation
import GGUF
import JSON
import TestSupport
import Testing
import Tokenizers

/// Tokenizers out of a file's metadata, against the ids of the reference library.
@Suite("Tokenizers in GGUF files") struct TokenizerTests {
  /// A fixture of tokenizers, and what llama.cpp calls its rule; nil for SentencePiece.
  static let cases: [(String, String?)] = [
    ("gpt2", "gpt-2"), ("qwen2", "qwen2"), ("llama3", "llama-bpe"), ("smollm", "smollm"),
    ("llama2", nil),
  ]

  private static func node(_ name: String) throws -> JSONNode {
    let url = URL(fileURLWithPath: Fixtures.path("tokenizers/\(name).json"))
    return try JSONNode(parsing: Array(try Data(contentsOf: url)))
  }

  /// Writes the keys that a converter makes of a `tokenizer.json`.
  private static func write(_ name: String, _ pre: String?, to path: String) throws {
    let file = try node(name)
    let vocabulary = try #require(file["model"]?["vocab"]?.object).members
    let added = file["added_tokens"]?.array ?? []
    let ids = vocabulary.compactMap(\.value.integer) + added.compactMap { $0["id"]?.integer }
    let count = try #require(ids.max()) + 1
    var tokens = (0..<count).map { "[PAD\($0)]" }
    var kinds = [Int](repeating: 5, count: count)
    for (token, id) in vocabulary {
      let id = try #require(id.integer)
      (tokens[id], kinds[id]) = (token, token.hasPrefix("<0x") && pre == nil ? 6 : 1)
    }
    for token in added {
      let id = try #require(token["id"]?.integer)
      tokens[id] = try #require(token["content"]?.string)
      kinds[id] = token["special"]?.bool == true ? 3 : 4
    }
    let merges = (file["model"]?["merges"]?.array ?? []).map { merge in
      merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
    }
    var keys: [(key: String, value: GGUFNewValue)] = [
      ("general.architecture", .string("llama")), ("tokenizer.ggml.tokens", .strings(tokens)),
      ("tokenizer.ggml.token_type", .integers(kinds)),
      ("tokenizer.ggml.add_bos_token", .bool(["llama2", "llama3"].contains(name))),
    ]
    if let begin = tokens.firstIndex(of: "<s>") {
      keys.append(("tokenizer.ggml.bos_token_id", .count(begin)))
    }
    if let pre {
      keys += [
        ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string(pre)),
        ("tokenizer.ggml.merges", .strings(merges)),
      ]
    } else {
      // A piece is as good as the first merge that makes it.
      var scores = [Float](repeating: -1e6, count: count)
      for (rank, merge) in merges.enumerated().reversed() {
        let piece = merge.split(separator: " ").joined()
        if let id = tokens.firstIndex(of: piece) { scores[id] = -Float(rank) }
      }
      keys += [
        ("tokenizer.ggml.model", .string("llama")), ("tokenizer.ggml.scores", .numbers(scores)),
        ("tokenizer.ggml.unknown_token_id", .count(tokens.firstIndex(of: "<unk>") ?? 0)),
      ]
    }
    let writer = try GGUFWriter(path: path, metadata: keys, tensors: [])
    try writer.finish()
  }

  @Test("Ids are the reference's", arguments: cases)
  func ids(_ name: String, _ pre: String?) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("tokenizer.gguf")
    try Self.write(name, pre, to: path)
    let tokenizer = try Tokenizer(model: path)
    let texts = try #require(try Self.node("texts").array).compactMap(\.string)
    let rows = try #require(try Self.node("\(name).vectors").array)
    #expect(rows.count == texts.count && texts.count > 100)
    for (text, row) in zip(texts, rows) {
      // This file's added tokens have the numbers of holes, which the reference gives two tokens each:
      // a list of tokens has no such thing.
      if name == "llama3" && text.contains("<|") { continue }
      let expected = (row["ids"]?.array ?? []).compactMap { $0.integer.map { UInt32($0) } }
      #expect(try tokenizer.encode(text) == expected, "\(name): \(text.debugDescription)")
      if let special = row["special"]?.array?.compactMap(\.integer).map({ UInt32($0) }) {
        #expect(try tokenizer.encode(text, addSpecialTokens: true) == special)
      }
    }
  }

  @Test("A rule or a kind of tokenizer that is not known is refused by name")
  func unknown() throws {
    let directory = try TemporaryDirectory()
    func message(_ keys: [(key: String, value: GGUFNewValue)]) throws -> String {
      let path = directory.path("tokenizer.gguf")
      let writer = try GGUFWriter(path: path, metadata: keys, tensors: [])
      try writer.finish()
      do {
        _ = try Tokenizer(model: path)
        return ""
      } catch { return "\(error)" }
    }
    let tokens: (key: String, value: GGUFNewValue) = (
      "tokenizer.ggml.tokens", .strings(["a", "b"])
    )
    let model: (key: String, value: GGUFNewValue) = ("tokenizer.ggml.model", .string("gpt2"))
    #expect(try message([]).contains("--tokenizer"))
    #expect(try message([tokens, ("tokenizer.ggml.model", .string("t5"))]).contains("'t5'"))
    #expect(try message([tokens, model]).contains("'tokenizer.ggml.pre' is missing"))
    #expect(
      try message([tokens, model, ("tokenizer.ggml.pre", .string("tekken"))]).contains("'tekken'"))
    #expect(
      try message([
        tokens, model, ("tokenizer.ggml.pre", .string("gpt-2")),
        ("tokenizer.ggml.merges", .strings(["ab"])),
      ]).contains("merges[0]"))
    #expect(
      try message([tokens, model, ("tokenizer.ggml.token_type", .integers([1]))])
        .contains("token_type"))
  }
  @Test("Pieces whose parts would take hours to look up are refused", .timeLimit(.minutes(1)))
  func longPieces() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("tokenizer.gguf")
    let writer = try GGUFWriter(
      path: path,
      metadata: [
        ("tokenizer.ggml.model", .string("llama")),
        ("tokenizer.ggml.tokens", .strings(["<unk>", String(repeating: "a", count: 1 << 20)])),
        ("tokenizer.ggml.scores", .numbers([0, 0])),
        ("tokenizer.ggml.token_type", .integers([2, 1])),
      ], tensors: [])
    try writer.finish()
    let error = #expect(throws: GGUFError.self) { try Tokenizer(model: path) }
    #expect(error?.description.contains("token 1 has 1048576 bytes") == true)
  }
}
