import Diagnostics
import Foundation
import JSON
import Preparation
import TestSupport
import Testing

/// Files of `Tests/Fixtures/rows`, which Python's csv, gzip and json, pandas and libzstd wrote.
@Suite("Tables, compressed files, columns and patterns")
struct InputFormatTests {
  private static let columns = ["prompt=question,completion=answer"]

  private func examples(
    _ inputs: [String], columns: [String] = []
  ) throws -> (report: PreparationReport, text: [String]) {
    let place = try Workplace()
    let mapping = try ColumnMapping(columns)
    let report = try place.prepare([]) {
      $0.inputs = inputs
      $0.columns = mapping
    }
    return (report, try place.examples().map { place.text.tokenizer.decode($0.tokens) })
  }

  @Test(
    "The same rows are the same examples, however they are written",
    arguments: [
      "rows.csv", "rows.tsv", "semicolons.csv", "pandas.csv.gz", "rows.jsonl.gz", "rows.jsonl.zst",
    ])
  func formats(name: String) throws {
    let expected = try examples([fixturePath("rows/rows.jsonl")]).text
    #expect(expected.count == 8)
    let columns = name.contains("jsonl") ? [] : Self.columns
    let found = try examples([fixturePath("rows/\(name)")], columns: columns)
    #expect(found.text == expected && found.report.forms == [.promptCompletion: 8])
  }

  @Test("A pattern stands for its files in the order of their bytes, and a name for itself")
  func patterns() throws {
    let place = try Workplace()
    for name in ["b.jsonl", "a.jsonl", "c.txt", "[a].jsonl"] {
      _ = try place.file(name, [#"{"text": "\#(name)"}"#])
    }
    let directory = place.directory.path
    #expect(
      try InputFiles.expanded([directory + "/?.jsonl", directory + "/[a].jsonl"])
        == ["a.jsonl", "b.jsonl", "[a].jsonl"].map { "\(directory)/\($0)" })
    let error = #expect(throws: PreparationError.self) {
      try InputFiles.expanded([directory + "/*.csv"])
    }
    #expect(error?.description.contains("*.csv") == true && error?.errorClass == .input)
  }

  @Test("What rows were taken for is said with the first of each form")
  func preview() throws {
    let place = try Workplace()
    var options = PreparationOptions()
    options.inputs = [fixturePath("rows/pandas.csv.gz"), fixturePath("rows/rows.csv")]
    options.output = place.directory.path("data.h5")
    options.columns = try ColumnMapping(["prompt=question", "completion=answer"])
    var said: [String] = []
    let report = try Preparation(place.text, options).run(said: { said.append($0.description) })
    #expect(report.examples == 16 && said.count == 1)
    let lines = try #require(said.first).split(separator: "\n").map(String.init)
    #expect(
      lines == [
        "\(options.inputs[0]):2: rows taken for {\"prompt\", \"completion\"} (CSV, gzip)",
        "  prompt      question  \"What is the capital of France?\"",
        "  completion  answer    \"Paris\"",
      ])
    #expect(report.json["columns"] == ["prompt": "question", "completion": "answer"])
  }

  @Test("Rows of JSON have columns of other names too, and lists may stand in texts")
  func jsonColumns() throws {
    let place = try Workplace()
    let rows = [
      #"{"messages": "not these", "q": "a\n", "a": "b", "context": null}"#,
      #"{"q": "c\n", "a": "d", "context": "e"}"#,
    ]
    let mapping = try ColumnMapping(["instruction=q,output=a", "input=context"])
    _ = try place.prepare(rows) {
      $0.columns = mapping
    }
    #expect(try place.counted() == ["b<|im_end|>", "d<|im_end|>"])
    let idMapping = try ColumnMapping(["input_ids=ids"])
    let ids = try place.prepare(["ids,n", "\"[5, 6, 7]\",1"], name: "ids.csv") {
      $0.columns = idMapping
    }
    #expect(ids.forms == [.tokens: 1])
    #expect(try place.examples().first?.tokens == [5, 6, 7])
  }

  @Test(
    "Columns that are not there are errors that name those that are",
    arguments: [
      ("rows.csv", ["q,a", "x,y"], ["prompt=question,completion=a"], "'question'", "q, a"),
      ("rows.csv", ["q,a", "x,y"], [], "q, a", "--columns"),
      (
        "rows.jsonl", [#"{"q": "x", "a": "y"}"#], ["prompt=question,completion=a"], "'question'",
        "q, a"
      ),
      (
        "rows.jsonl", [#"{"q": "x", "a": "y"}"#], ["instruction=q,output=a,input=ctx"], "input=ctx",
        "q, a"
      ),
      ("rows.txt", ["plain"], ["text=a"], "plain text", "--columns"),
    ])
  func unknown(
    name: String, rows: [String], columns: [String], first: String, second: String
  ) throws {
    let place = try Workplace()
    let mapping = try ColumnMapping(columns)
    let error = #expect(throws: PreparationError.self) {
      try place.prepare(rows, name: name) { $0.columns = mapping }
    }
    let words = error?.description ?? ""
    #expect(words.contains(first) && words.contains(second), "\(words)")
    #expect(!FileManager.default.fileExists(atPath: place.directory.path("data.h5")))
  }

  @Test(
    "--columns itself may be wrong",
    arguments: ["prompt", "prompt=", "question=prompt", "text=a,text=b", ""])
  func wrongMapping(text: String) {
    let error = #expect(throws: PreparationError.self) { try ColumnMapping([text]) }
    #expect(error?.errorClass == .usage)
  }

  @Test("A comma in a column's name is part of it")
  func comma() throws {
    let place = try Workplace()
    let mapping = try ColumnMapping(["completion=answer, final,prompt=q"])
    let report = try place.prepare(["\"answer, final\",q", "b,a"], name: "c.csv") {
      $0.columns = mapping
    }
    #expect(report.examples == 1)
    let tokens = try #require(try place.examples().first?.tokens)
    #expect(place.text.tokenizer.decode(tokens) == "ab<|im_end|>")
  }

  @Test(
    "A record that is broken is named with line and column, and left out where asked",
    arguments: [
      ("\"two\nlines\"\nx,y", 4, "1 field,"), ("\"a\"b,c\n", 3, "column 4: text behind"),
      ("a,b,c\n", 3, "3 fields"), ("a\rb,c\n", 3, "column 2: a carriage return"),
      ("é,\"a\"\"b\" ,c\n", 3, "column 9: text behind"),
    ])
  func brokenRecord(record: String, line: Int, words: String) throws {
    let place = try Workplace()
    let rows = ["prompt,completion", "1,2", record + (record.hasSuffix("\n") ? "" : "\n") + "3,4"]
    let broken = record.hasPrefix("\"two") ? 3 : line
    do {
      _ = try place.prepare(rows, name: "a.csv")
      Issue.record("it was taken")
    } catch PreparationError.brokenRow(let location, let problem) {
      #expect(
        location.line == broken && problem.description.contains(words), "\(location): \(problem)")
    }
    let report = try place.prepare(rows, name: "a.csv") { $0.skipsBrokenRows = true }
    #expect(report.brokenCount == 1)
    #expect(try place.counted().last == "4<|im_end|>")
  }

  @Test(
    "A table that cannot be read to its end is an error even where rows may be left out",
    arguments: [
      (["text", "a", "b \"c", "\"d", "e"], "a.csv:4: column 1: the quotation mark"),
      (["text,text", "a,b"], "a.csv:1: two columns are called 'text'"),
      (["text,\"a"], "a.csv:1: column 6: the quotation mark"),
      (["text,\"a\"b"], "a.csv:1: column 9: text behind"),
    ])
  func brokenTable(rows: [String], words: String) throws {
    let place = try Workplace()
    let error = #expect(throws: PreparationError.self) {
      try place.prepare(rows, name: "a.csv") { $0.skipsBrokenRows = true }
    }
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    #expect(error?.errorClass == .input)
  }

  @Test("A compressed file that is cut, changed or followed by something else is an error")
  func damaged() throws {
    let place = try Workplace()
    for name in ["rows.jsonl.gz", "rows.jsonl.zst"] {
      let whole = try bytes(of: fixturePath("rows/\(name)"))
      var flipped = whole
      flipped[whole.count / 4] ^= 0x10
      let kind = name.hasSuffix("gz") ? "gzip" : "zstd"
      for (label, content) in [
        ("cut", Array(whole.dropLast(5))), ("flipped", flipped), ("more", whole + [1, 2, 3, 4]),
      ] {
        let path = place.directory.path(name)
        try write(content, to: path)
        let error = #expect(throws: PreparationError.self, "\(name), \(label)") {
          try place.prepare([]) {
            $0.inputs = [path]
            $0.skipsBrokenRows = true
          }
        }
        #expect(error?.description.contains(kind) == true, "\(String(describing: error))")
      }
    }
    // Zeros behind the last member, as tapes leave them, are nothing.
    let padded =
      try bytes(of: fixturePath("rows/rows.jsonl.gz")) + [UInt8](repeating: 0, count: 512)
    try write(padded, to: place.directory.path("padded.jsonl.gz"))
    #expect(try examples([place.directory.path("padded.jsonl.gz")]).text.count == 8)
  }

  @Test("What unpacks to a hundred megabytes is read piece by piece")
  func large() throws {
    // 60 KB of gzip: a million times the same line.
    let place = try Workplace()
    let path = place.directory.path("large.jsonl")
    let line = Array(
      (#"{"input_ids": [1, 2], "x": ""# + String(repeating: "a", count: 1000) + "\"}\n").utf8)
    try write(Array(repeatElement(line, count: 20_000).joined()), to: path)
    let packed = try ProcessRunner.run(
      URL(fileURLWithPath: "/usr/bin/env"), ["gzip", "-9", path])
    try #require(packed.status == 0, "\(packed.errors)")
    let report = try place.prepare([]) { $0.inputs = [path + ".gz"] }
    #expect(report.examples == 20_000 && report.splits[.train]?.duplicates == 19_999)
  }
}
