import Datasets
import Foundation
import JSON
import TestSupport
import Testing
import Tokenizers

@Suite("From rows to a dataset, and tokens by the line")
struct PrepareCommandTests {
  let bench: Workbench
  private let tokenizer = fixturePath("tokenizers/gpt2.json")

  init() throws { bench = try Workbench() }

  private func file(_ name: String, _ text: String) throws -> String {
    try write(text.utf8, to: bench.path(name))
    return bench.path(name)
  }

  /// `prepare` without a template and an end-of-text token.
  private func prepare(_ more: [String], output: String = "made.h5") throws -> ProcessResult {
    try bench.run(
      ["prepare", "--tokenizer", tokenizer, "--no-append-eos", "--output", bench.path(output)]
        + more)
  }

  @Test("Several inputs, repeated and not, become one dataset, and standard output one object")
  func inputs() throws {
    let rows = try file("a.jsonl", "\u{feff}{\"prompt\": \"One\", \"completion\": \" two\"}\r\n\n")
    let texts = try file("b.txt", "first line\n\nsecond line\n")
    let result = try prepare(
      ["--input", rows, texts, "--input", rows, "--documents", "line", "--json", "--show", "1"])
    #expect(result.status == 0, "\(result.errors)")
    let report = try JSONValue(parsing: Data(result.output.utf8))
    #expect(report["rows_read"]?.int == 4 && report["train"]?["examples"]?.int == 4)
    #expect(report["train"]?["duplicates"]?.int == 1)
    #expect(report["forms"]?["prompt_completion"]?.int == 2)
    #expect(result.errors.contains("a.jsonl:1: rows taken for {\"prompt\", \"completion\"}"))
    #expect(result.errors.contains("example 1, train"))
    #expect(try TokenDataset(path: bench.path("made.h5")).train.exampleCount == 4)
  }

  @Test("Duplicates across the splits are counted, and removed where asked")
  func duplicates() throws {
    let rows = try file("a.jsonl", "{\"text\": \"one two\"}\n{\"text\": \"three four\"}\n")
    let other = try file("b.jsonl", "{\"text\": \"one two\"}\n{\"text\": \"five six\"}\n")
    for (option, kept) in [([], 2), (["--deduplicate"], 1)] {
      let result = try prepare(["--input", rows, "--validation", other, "--json"] + option)
      let report = try JSONValue(parsing: Data(result.output.utf8))
      #expect(report["duplicates_across_splits"]?.int == 1)
      #expect(report["validation"]?["examples"]?.int == kept)
      #expect(report["warnings"]?.array?.isEmpty == !option.isEmpty)
    }
  }

  @Test("Tables, compressed files and patterns are read, with columns of any name")
  func tables() throws {
    try FileManager.default.createDirectory(
      atPath: bench.path("rows"), withIntermediateDirectories: true)
    for name in ["rows.csv", "pandas.csv.gz"] {
      try FileManager.default.copyItem(
        atPath: fixturePath("rows/\(name)"), toPath: bench.path("rows/\(name)"))
    }
    let result = try prepare([
      "--input", bench.path("rows/*"), "--columns", "prompt=question,completion=answer", "--json",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let report = try JSONValue(parsing: Data(result.output.utf8))
    #expect(report["rows_read"] == 16 && report["train"]?["duplicates"] == 8)
    #expect(result.errors.contains("pandas.csv.gz:2: rows taken for {\"prompt\", \"completion\"}"))
    #expect(result.errors.contains("completion  answer    \"Paris\""))
    for (status, words, more) in [
      (65, "'reply'", ["--columns", "prompt=question,completion=reply"]),
      (64, "--columns: 'query'", ["--columns", "query=question"]),
      (64, "--from reads", ["--columns", "text=answer", "--from", "llm.c"]),
    ] as [(Int32, String, [String])] {
      let wrong = try prepare(["--input", bench.path("rows/rows.csv")] + more)
      #expect(wrong.status == status && lastLine(wrong).contains(words), "\(wrong.errors)")
    }
    let none = try prepare(["--input", bench.path("rows/*.parquet")])
    #expect(none.status == 65 && lastLine(none).contains("*.parquet"))
  }

  @Test("Wrong options, rows and places end with the promised status")
  func statuses() throws {
    let good = try file("good.jsonl", "{\"text\": \"one two three\"}\n")
    let bad = try file("bad.jsonl", "{\"text\": \"one two\"}\n{\"text\": \n")
    let cases: [(Int32, String, [String])] = [
      (65, "bad.jsonl:2: not JSON", ["--input", bad]),
      (65, "missing.jsonl", ["--input", "missing.jsonl"]),
      (64, "--excess-length needs", ["--input", good, "--excess-length", "drop"]),
      (
        64, "either --validation or",
        ["--input", good, "--validation", good, "--validation-split", "0.1"]
      ),
      (64, "--show-all", ["--input", good, "--show-all"]),
      (
        65, "--max-length is 2",
        ["--input", good, "--max-length", "2", "--excess-length", "error"]
      ),
    ]
    for (status, part, arguments) in cases {
      let result = try prepare(arguments)
      #expect(result.status == status && lastLine(result).contains(part), "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: bench.path("made.h5")))
    }
    let skipped = try prepare(["--input", bad, "--on-error", "skip"])
    #expect(skipped.status == 0 && skipped.output.contains("1 broken"))
    #expect(try prepare(["--input", good], output: "no/such/made.h5").status == 73)
    let over = try prepare(["--input", good], output: "good.jsonl")
    #expect(over.status == 64 && lastLine(over).contains("would replace"))
    #expect(try String(contentsOfFile: good, encoding: .utf8).hasPrefix("{\"text\""))
  }

  @Test("tokenize answers each line, and names the first bad one behind the good ones' answers")
  func tokenize() throws {
    let lines = "\"Hello world\"\n\n\"\\u00e9\\n\"\n"
    let ids = try ProcessRunner.run(
      Workbench.program, ["tokenize", "--tokenizer", tokenizer], input: lines)
    #expect(ids.status == 0 && ids.outputLines.count == 2, "\(ids.errors)")
    let back = try ProcessRunner.run(
      Workbench.program, ["tokenize", "--tokenizer", tokenizer, "--decode"], input: ids.output)
    #expect(back.output == "\"Hello world\"\n\"é\\n\"\n")
    // Characters at which some readers end lines do not end one here.
    let separated = "\"a\\u2028b\\u0085\"\n"
    let marks = try ProcessRunner.run(
      Workbench.program, ["tokenize", "--tokenizer", tokenizer], input: separated)
    let same = try ProcessRunner.run(
      Workbench.program, ["tokenize", "--tokenizer", tokenizer, "--decode"], input: marks.output)
    #expect(same.output == separated)
    let wrong = try ProcessRunner.run(
      Workbench.program, ["tokenize", "--tokenizer", tokenizer], input: "\"a\"\n\n[1]\n\"b\"\n")
    #expect(wrong.status == 65 && wrong.outputLines.count == 1)
    #expect(lastLine(wrong).contains("Line 3"))
    let outside = try ProcessRunner.run(
      Workbench.program, ["tokenize", "--tokenizer", tokenizer, "--decode"], input: "[-1]")
    #expect(outside.status == 65 && lastLine(outside).contains("-1"))
  }

  @Test("train refuses a dataset of another tokenizer, and warns where the file is only another")
  func otherTokenizer() throws {
    let model = bench.path("model")
    try FileManager.default.copyItem(atPath: bench.model, toPath: model)
    try FileManager.default.copyItem(atPath: tokenizer, toPath: model + "/tokenizer.json")
    func train(
      vocabulary: Int, sha256: String, tokens: String? = nil
    ) throws -> ProcessResult {
      let writer = try TokenDatasetWriter(
        path: bench.path("t.h5"), vocabularySize: vocabulary, tokenizerSHA256: sha256,
        vocabularySHA256: tokens)
      try writer.append(tokens: [1, 2, 3], lossMask: [0, 1, 1], to: .train)
      try writer.finish()
      return try bench.run([
        "--model", model, "--data", bench.path("t.h5"), "--output-dir", bench.path("run\(UUID())"),
        "--max-steps", "1",
      ])
    }
    let refused = try train(vocabulary: 40, sha256: "00")
    #expect(refused.status == 65 && lastLine(refused).contains("another tokenizer"))
    let warned = try train(vocabulary: 53, sha256: "00")
    #expect(warned.status == 0 && warned.errors.contains("tokenizer file other than"))
    let others = try train(vocabulary: 53, sha256: "00", tokens: "00")
    #expect(others.status == 65 && lastLine(others).contains("another tokenizer"))
    let hash = try Tokenizer(contentsOf: tokenizer).vocabularySHA256
    let again = try train(vocabulary: 53, sha256: "00", tokens: hash)
    #expect(again.status == 0 && again.errors.contains("the same tokens"))
  }

  @Test("inspect says what a token file of another program is")
  func inspect() throws {
    let path = bench.path("tokens.bin")
    var header = [UInt8](repeating: 0, count: 1024)
    header.replaceSubrange(0..<12, with: [0x88, 0xd8, 0x34, 0x01, 1, 0, 0, 0, 2, 0, 0, 0])
    try write(header + [1, 0, 2, 0], to: path)
    let result = try bench.run(["inspect", path, "--json"])
    let value = try JSONValue(parsing: Data(result.output.utf8))
    #expect(value["kind"]?.string == "llm.c token file" && value["tokens"]?.int == 2)
    try write(header + [1, 0, 2], to: path)
    let damaged = try bench.run(["inspect", path])
    #expect(damaged.status == 65 && lastLine(damaged).contains("1027 bytes"))
  }
}
