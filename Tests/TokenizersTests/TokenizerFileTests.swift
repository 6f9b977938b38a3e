import Diagnostics
import Foundation
import TestSupport
import Testing
import Tokenizers

@Suite("Tokenizer files")
struct TokenizerFileTests {
  /// A small sound file with one part exchanged.
  private func file(
    normalizer: String = "null", preTokenizer: String = "null", postProcessor: String = "null",
    decoder: String = "null", added: String = "[]", model: String? = nil, extra: String = ""
  ) -> String {
    let model = model ?? #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}"#
    return """
      {"version":"1.0","truncation":null,"padding":null,"added_tokens":\(added),\
      "normalizer":\(normalizer),"pre_tokenizer":\(preTokenizer),\
      "post_processor":\(postProcessor),"decoder":\(decoder),"model":\(model)\(extra)}
      """
  }

  private func error(_ text: String) throws -> TokenizerError? {
    let scratch = try Scratch()
    let path = try scratch.file("tokenizer.json", text)
    do throws(TokenizerError) {
      _ = try Tokenizer(contentsOf: path)
      return nil
    } catch { return error }
  }

  @Test("The sound file is read")
  func sound() throws {
    #expect(try error(file()) == nil)
  }

  @Test("A pattern that fails at every place of a long run takes no quadratic time")
  func longRun() throws {
    let split =
      #"{"type":"Split","pattern":{"Regex":"\\s+$|b+a"},"behavior":"Isolated","invert":false}"#
    let scratch = try Scratch()
    let tokenizer = try Tokenizer(
      contentsOf: try scratch.file("tokenizer.json", file(preTokenizer: split)))
    let blanks = String(repeating: " ", count: 300_000)
    let clock = ThreadClock()
    let start = clock.now
    #expect(try tokenizer.encode("ab" + blanks + "ab") == [2, 2])
    #expect(try tokenizer.encode("ba" + blanks + "\nba" + blanks) == [1, 0, 1, 0])
    #expect(try tokenizer.encode(String(repeating: "b", count: 300_000)).count == 300_000)
    // Walking the run again from each of its places would take minutes.
    #expect(clock.now - start < .seconds(20))
  }

  @Test("Blanks that one added token took along are no other's, and make no token again")
  func takenBlanks() throws {
    let added = #"""
      [{"id":3,"content":"\n\n","lstrip":true,"rstrip":true,"normalized":false,"special":true},
      {"id":4,"content":"[T]","lstrip":true,"rstrip":true,"normalized":false,"special":true}]
      """#
    let scratch = try Scratch()
    let tokenizer = try Tokenizer(
      contentsOf: try scratch.file("tokenizer.json", file(added: added)))
    // What tokenizers 0.23.3 gives.
    for (text, ids) in [
      ("\n\n", [3]), ("\n\n\n\n\n", [3]), ("a\n\n\n\nb", [0, 3, 1]), ("[T]\n\n[T]", [4, 4]),
    ] as [(String, [UInt32])] {
      #expect(try tokenizer.encode(text) == ids, "\(text.debugDescription)")
    }
  }

  @Test("The hash of the vocabulary follows from the tokens, not from the file's layout")
  func vocabularyHash() throws {
    func hash(_ text: String) throws -> String {
      let scratch = try Scratch()
      return try Tokenizer(contentsOf: try scratch.file("tokenizer.json", text)).vocabularySHA256
    }
    let plain = try hash(file())
    let merges = #""merges":[["a","b"]]}"#
    let again = #"{"type":"BPE", "vocab":{"ab":2,"b":1,"a":0},"# + merges
    let swapped = #"{"type":"BPE", "vocab":{"ab":2,"b":0,"a":1},"# + merges
    #expect(try hash(file(preTokenizer: #"{"type":"WhitespaceSplit"}"#, model: again)) == plain)
    #expect(try hash(file(model: swapped)) != plain)
    #expect(try hash(file(added: #"[{"id":3,"content":"x"}]"#)) != plain)
  }

  @Test("What is not known is refused by name")
  func unknownParts() throws {
    let cases: [(String, String, String)] = [
      (file(normalizer: #"{"type":"Precompiled"}"#), "normalizer", "'Precompiled'"),
      (file(normalizer: #"{"type":"NFC","x":1}"#), "normalizer", "the field 'x'"),
      (
        file(
          preTokenizer:
            #"{"type":"Sequence","pretokenizers":[{"type":"UnicodeScripts"}]}"#),
        "pre_tokenizer.pretokenizers[0]", "'UnicodeScripts'"
      ),
      (file(postProcessor: #"{"type":"New"}"#), "post_processor", "'New'"),
      (
        file(
          postProcessor: #"""
            {"type":"Sequence","processors":[{"type":"TemplateProcessing","single":[
            {"Sequence":{"id":"A"}}],"special_tokens":{}},
            {"type":"RobertaProcessing","sep":["a",0],"cls":["b",1]}]}
            """#),
        "post_processor", "several post-processors that add tokens"
      ),
      (file(decoder: #"{"type":"CTC"}"#), "decoder", "'CTC'"),
      (file(model: #"{"type":"Unigram","vocab":[]}"#), "model.type", "'Unigram'"),
      (file(model: #"{"type":"WordPiece","vocab":{}}"#), "model.type", "'WordPiece'"),
      (
        file(model: #"{"type":"BPE","vocab":{},"merges":[],"future":true}"#), "model",
        "the field 'future'"
      ),
      (
        file(model: #"{"type":"BPE","vocab":{},"merges":[],"dropout":0.1}"#), "model.dropout",
        "random merges (0.1)"
      ),
      (file(extra: #","extra":1"#), "the file", "the field 'extra'"),
    ]
    for (text, field, found) in cases {
      guard case .unsupported(_, field, found)? = try error(text) else {
        Issue.record("\(field) gave \(String(describing: try error(text)))")
        continue
      }
    }
  }

  @Test(
    "Regular expressions beyond the subset are refused with their reason",
    arguments: [
      (#"(?<=a)b"#, "behind"), (#"\p{Klingon}"#, "Klingon"), (#"(a"#, "')'"), (#"[a"#, "']'"),
      (#"(?:a*)*"#, "empty"), (#"\X"#, #"'\X'"#), (#"[[:alpha:]]"#, "POSIX"), (#"*a"#, "repeats"),
      (#"a)"#, "without '('"), (#"(?<name>a)"#, "(?<"), (#"[z-a]"#, "go up"), (#"\1"#, #"'\1'"#),
    ])
  func patterns(pattern: String, reason: String) throws {
    let quoted = pattern.replacingOccurrences(of: "\\", with: "\\\\")
    let text = file(
      preTokenizer: """
        {"type":"Split","pattern":{"Regex":"\(quoted)"},"behavior":"Isolated","invert":false}
        """)
    guard case .badPattern(_, _, _, let problem)? = try error(text) else {
      Issue.record("'\(pattern)' gave \(String(describing: try error(text)))")
      return
    }
    #expect(problem.contains(reason))
  }

  @Test("A merge outside the vocabulary is named")
  func badMerge() throws {
    let text = file(model: #"{"vocab":{"a":0,"b":1},"merges":[["a","b"]]}"#)
    guard case .mergeOutsideVocabulary(_, 1, "ab")? = try error(text) else {
      Issue.record("it gave \(String(describing: try error(text)))")
      return
    }
  }

  @Test(
    "Fields of the wrong kind are named",
    arguments: [
      (#"{"vocab":[],"merges":[]}"#, "model.vocab"),
      (#"{"vocab":{"a":-1},"merges":[]}"#, "model.vocab.a"),
      (#"{"vocab":{"a":0},"merges":["a"]}"#, "model.merges[0]"),
      (#"{"vocab":{"a":0},"merges":[["a"]]}"#, "model.merges[0]"),
      (#"{"vocab":{"a":0},"merges":[],"fuse_unk":1}"#, "model.fuse_unk"),
    ])
  func wrongKinds(model: String, field: String) throws {
    guard case .badField(_, field, _, _)? = try error(file(model: model)) else {
      Issue.record("\(model) gave \(String(describing: try error(file(model: model))))")
      return
    }
  }

  @Test("What is not JSON, and what is not there, is said")
  func unreadable() throws {
    guard case .syntax? = try error("{") else {
      Issue.record("it gave \(String(describing: try error("{")))")
      return
    }
    let scratch = try Scratch()
    #expect(throws: TokenizerError.noTokenizer(directory: scratch.path)) {
      try Tokenizer(directory: scratch.path)
    }
    do throws(TokenizerError) {
      _ = try Tokenizer(contentsOf: scratch.path + "/none")
      Issue.record("it was read")
    } catch { #expect(error.errorClass == .input) }
  }

  @Test("An unknown token that is missing is said when it is needed, not before")
  func missingUnknown() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      "tokenizer.json",
      file(model: #"{"vocab":{"a":0},"merges":[],"unk_token":"<unk>"}"#))
    let tokenizer = try Tokenizer(contentsOf: path)
    #expect(try tokenizer.encode("aa") == [0, 0])
    #expect(throws: TokenizerError.unknownTokenMissing(path: path, token: "<unk>")) {
      try tokenizer.encode("ab")
    }
  }

  @Test("Added tokens get the vocabulary's ids, or the next free ones, as the reference gives them")
  func numbering() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      "tokenizer.json",
      file(added: #"[{"id":77,"content":"<x>"},{"id":2,"content":"ab"},{"id":9,"content":"<y>"}]"#))
    let tokenizer = try Tokenizer(contentsOf: path)
    #expect(tokenizer.id(of: "<x>") == 3 && tokenizer.id(of: "<y>") == 4)
    #expect(tokenizer.id(of: "ab") == 2 && tokenizer.vocabularySize == 5)
    #expect(try tokenizer.encode("a<y>ab<x>") == [0, 4, 2, 3])
  }

  @Test("vocab.json with merges.txt is GPT-2's tokenizer")
  func legacy() throws {
    let scratch = try Scratch()
    let reference = try Fixtures.tokenizer("gpt2")
    let document = try Fixtures.json("gpt2.json")
    let vocabulary = try #require(document["model"]?["vocab"]?.object?.members)
    let merges = (document["model"]?["merges"]?.array ?? []).compactMap(\.string)
    var entries: [String] = []
    for (token, id) in vocabulary {
      let quoted = token.replacingOccurrences(of: "\\", with: "\\\\")
        .replacingOccurrences(of: "\"", with: "\\\"")
      let number = try #require(id.integer)
      entries.append("\"\(quoted)\":\(number)")
    }
    _ = try scratch.file("vocab.json", "{\(entries.joined(separator: ","))}")
    _ = try scratch.file(
      "merges.txt", "#version: 0.2\n" + merges.joined(separator: "\n") + "\n")
    let tokenizer = try Tokenizer(directory: scratch.path)
    for text in try Fixtures.texts() where !text.contains("<|im_") {
      #expect(try tokenizer.encode(text) == reference.encode(text))
    }
    _ = try scratch.file("tokenizer_config.json", #"{"tokenizer_class":"RobertaTokenizer"}"#)
    #expect(
      throws: TokenizerError.unsupported(
        path: scratch.path + "/tokenizer_config.json", field: "tokenizer_class",
        found: "'RobertaTokenizer'")
    ) { try Tokenizer(directory: scratch.path) }
  }

  @Test("Beside vocab.json, added and special tokens are those of transformers' other files")
  func legacyTokens() throws {
    let scratch = try Scratch()
    _ = try scratch.file("vocab.json", #"{"a":0,"b":1,"ab":2,"<|endoftext|>":3}"#)
    _ = try scratch.file("merges.txt", "#version: 0.2\na b\n")
    _ = try scratch.file("added_tokens.json", #"{"<y>":5,"<x>":4}"#)
    _ = try scratch.file(
      "special_tokens_map.json",
      #"{"bos_token":"<s>","pad_token":{"content":"<p>","lstrip":false,"rstrip":true}}"#)
    _ = try scratch.file("tokenizer_config.json", #"{"bos_token":"<z>","add_bos_token":true}"#)
    let tokenizer = try Tokenizer(directory: scratch.path)
    #expect(
      tokenizer.addedTokens.map(\.content) == ["<|endoftext|>", "<x>", "<y>", "<s>", "<p>"])
    #expect(try tokenizer.encode("ab<y><p>  a", addSpecialTokens: true) == [6, 2, 5, 7, 0])
    #expect(tokenizer.decode([6, 2, 5], skipSpecialTokens: true) == "ab<y>")

    _ = try scratch.file(
      "tokenizer_config.json",
      #"{"added_tokens_decoder":{"4":{"content":"<q>","special":true,"rstrip":true}}}"#)
    let described = try Tokenizer(directory: scratch.path)
    #expect(described.id(of: "<q>") == 4 && described.id(of: "<y>") == nil)
    #expect(try described.encode("<q> ab") == [4, 2])
    for (text, words) in [
      (#"{"added_tokens_decoder":{"9":{"content":"<q>"}}}"#, "the id 9"),
      (#"{"added_tokens_decoder":{},"additional_special_tokens":["<w>"]}"#, "'<w>'"),
      (#"{"add_eos_token":true}"#, "add_eos_token"),
    ] {
      _ = try scratch.file("tokenizer_config.json", text)
      do throws(TokenizerError) {
        _ = try Tokenizer(directory: scratch.path)
        Issue.record("\(text) was read")
      } catch { #expect(error.description.contains(words), "\(error)") }
    }
  }
}
