import Datasets
import Preparation
import TestSupport
import Testing

@Suite("Rows to a dataset")
struct PreparationTests {
  @Test("Each form of rows is known by its keys, and only its answer counts")
  func forms() throws {
    let place = try Workplace()
    let report = try place.prepare([
      #"{"text": "All of it."}"#,
      #"{"prompt": "What is it?\n", "completion": " It is this."}"#,
      #"{"instruction": "Say yes.", "input": "now", "output": "Yes."}"#,
      #"{"instruction": "Say no.", "output": "No."}"#,
      #"{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, -100, 8]}"#,
      "",
      #"{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, -100], "attention_mask": [1, 1, 1, 0]}"#,
    ])
    let counted = try place.counted()
    // The first token of an example is never a target.
    #expect(counted[0].hasSuffix("ll of it.<|im_end|>") || counted[0].hasSuffix("of it.<|im_end|>"))
    #expect(counted[1] == " It is this.<|im_end|>")
    #expect(counted[2] == "Yes.<|im_end|>" && counted[3] == "No.<|im_end|>")
    let examples = try place.examples()
    #expect(examples[4].tokens == [5, 6, 7, 8] && examples[4].mask == [0, 1, 0, 1])
    #expect(examples[5].tokens == [5, 6, 7] && examples[5].mask == [0, 1, 1])
    #expect(
      report.forms == [.text: 1, .promptCompletion: 1, .alpaca: 2, .tokens: 2])
    let prompt = place.text.tokenizer.decode(examples[2].tokens)
    #expect(prompt.contains("### Instruction:\nSay yes.\n\n### Input:\nnow\n\n### Response:\nYes."))
    let dataset = try TokenDataset(path: place.directory.path("data.h5"))
    #expect(dataset.tokenizerSHA256 == place.text.tokenizer.sha256)
    #expect(dataset.vocabularySize == place.text.tokenizer.idLimit)
  }

  @Test("--train-on-prompt counts everything, --no-append-eos appends nothing")
  func options() throws {
    let place = try Workplace()
    let row = #"{"prompt": "What is it? ", "completion": "It is this."}"#
    _ = try place.prepare([row]) {
      $0.trainsOnPrompt = true
      $0.appendsEndOfText = false
    }
    let example = try #require(try place.examples().first)
    #expect(example.tokens == (try place.text.tokenizer.encode("What is it? It is this.")))
    #expect(example.mask.dropFirst().allSatisfy { $0 == 1 })
  }

  @Test("Masks go by position: an end token in the prompt does not count, the last one does")
  func endTokens() throws {
    let place = try Workplace()
    _ = try place.prepare([#"{"prompt": "a<|im_end|>b", "completion": "c<|im_end|>"}"#])
    let example = try #require(try place.examples().first)
    let end = try #require(place.text.endOfText)
    #expect(example.tokens.count { $0 == end } == 2 && example.tokens.last == end)
    #expect(try place.counted() == ["c<|im_end|>"])
  }

  @Test("A token across the edge of the answer counts, and the whole is tokenised at once")
  func edges() throws {
    for tokenizer in ["gpt2", "qwen2", "llama2", "mistral"] {
      let end = ["gpt2", "qwen2"].contains(tokenizer) ? "<|im_end|>" : "</s>"
      let place = try Workplace(tokenizer, end: end)
      let (prompt, answer) = ("the words and th", "e other words é😀 e\u{301}")
      _ = try place.prepare(["{\"prompt\": \"\(prompt)\", \"completion\": \"\(answer)\"}"])
      let example = try #require(try place.examples().first)
      let whole = try place.text.tokenizer.encode(prompt + answer, addSpecialTokens: true)
      #expect(
        example.tokens == whole
          + (whole.last == place.text.endOfText ? [] : [try #require(place.text.endOfText)]))
      let first = try #require(example.mask.firstIndex(of: 1))
      let before = place.text.tokenizer.decode(example.tokens[..<first], skipSpecialTokens: true)
      #expect(
        prompt.hasPrefix(before) && before.count + 4 >= prompt.count, "\(tokenizer): \(before)")
      #expect(example.mask[first...].allSatisfy { $0 == 1 })
    }
  }

  @Test("Examples that are too long are dropped, cut, divided or an error, as asked")
  func lengths() throws {
    let place = try Workplace()
    let rows = [
      #"{"input_ids": [1, 2, 3, 4, 5, 6, 7]}"#, #"{"input_ids": [1, 2, 3]}"#,
      #"{"input_ids": [1, 2, 3, 4, 9], "labels": [-100, -100, -100, -100, 9]}"#,
    ]
    var report = try place.prepare(rows) { $0.maxLength = 3 }
    #expect(report.droppedLong == 2 && report.examples == 1)
    report = try place.prepare(rows) {
      $0.maxLength = 3
      $0.excess = .truncate
    }
    // The third loses all of its answer.
    #expect(report.truncated == 2 && report.withoutTarget == 1 && report.examples == 2)
    report = try place.prepare(rows) {
      $0.maxLength = 3
      $0.excess = .split
    }
    #expect(report.divided == 2)
    #expect(try place.examples().map(\.tokens) == [[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 9]])
    #expect(throws: PreparationError.self) {
      try place.prepare(rows) {
        $0.maxLength = 3
        $0.excess = .error
      }
    }
  }

  @Test("Equal examples are counted in a split and across both, and removed when asked")
  func duplicates() throws {
    let place = try Workplace()
    let rows = [1, 2, 1, 3, 1].map { "{\"input_ids\": [7, \($0), 8]}" }
    let validation = try place.file(
      "validation.jsonl", [2, 9, 9, 3].map { "{\"input_ids\": [7, \($0), 8]}" })
    var report = try place.prepare(rows) { $0.validation = [validation] }
    #expect(report.splits[.train]?.duplicates == 2)
    #expect(report.splits[.validation]?.duplicates == 1)
    #expect(report.acrossSplits == 2 && report.removedDuplicates == 0 && report.examples == 9)
    report = try place.prepare(rows) {
      $0.validation = [validation]
      $0.removesDuplicates = true
    }
    #expect(report.removedDuplicates == 5)
    #expect(try place.examples().count == 3 && place.examples(.validation).count == 1)
  }

  @Test("A validation share takes about its share, equal rows together, and is the same each time")
  func share() throws {
    let place = try Workplace()
    let rows = (0..<1000).map { "{\"input_ids\": [7, \($0 % 400), 8, 9]}" }
    let report = try place.prepare(rows) {
      $0.validationShare = 0.2
      $0.threads = 2
    }
    let first = try place.examples(.validation).map(\.tokens)
    #expect((120...280).contains(first.count))
    #expect(report.acrossSplits == 0)
    _ = try place.prepare(rows) { $0.validationShare = 0.2 }
    #expect(try place.examples(.validation).map(\.tokens) == first)
  }

  @Test("Any number of threads gives the same dataset", arguments: [2, 3])
  func threads(count: Int) throws {
    let place = try Workplace()
    let rows = (0..<3000).map {
      "{\"prompt\": \"number \($0)\", \"completion\": \" is \($0 * 7)\"}"
    }
    _ = try place.prepare(rows)
    let one = try TokenDataset(path: place.directory.path("data.h5")).fingerprint
    _ = try place.prepare(rows) { $0.threads = count }
    #expect(try TokenDataset(path: place.directory.path("data.h5")).fingerprint == one)
  }

  @Test("Plain text is a document a file or a line; a JSON list is a row an element")
  func files() throws {
    let place = try Workplace()
    var report = try place.prepare(["one line", "", "another"], name: "a.txt")
    #expect(report.rowsRead == 1 && report.forms == [.plainText: 1])
    report = try place.prepare(["one line", "", "another"], name: "a.txt") { $0.documents = .line }
    #expect(report.rowsRead == 2)
    report = try place.prepare(
      ["[", #"{"text": "a, ] \" b"},"#, "{\"text\":", "\"second\"}", "]"], name: "a.json")
    #expect(report.rowsRead == 2 && report.forms == [.text: 2])
  }
}
