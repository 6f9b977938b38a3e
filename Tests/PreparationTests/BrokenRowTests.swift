import Diagnostics
import Foundation
import Preparation
import TestSupport
import Testing

@Suite("Rows that cannot be used")
struct BrokenRowTests {
  private static let good = #"{"prompt": "a\n", "completion": "b"}"#

  @Test(
    "A broken row is fatal, or named with its line and left out",
    arguments: [
      "{\"text\": ", "[1]", #"{"foo": 1}"#, #"{"text": 5}"#, #"{"text": ""}"#,
      #"{"input_ids": [1, 2], "labels": [1]}"#, #"{"input_ids": [1, 2], "labels": [1, 3]}"#,
      #"{"input_ids": [1, 99999]}"#, #"{"input_ids": [-1]}"#, #"{"input_ids": []}"#,
      #"{"conversations": [{"from": "nobody", "value": "x"}]}"#, #"{"messages": []}"#,
      #"{"messages": [{"role": "user", "content": "no template here"}]}"#,
      "{\"text\": \"a\", \"text\": \"b\"}",
    ])
  func broken(row: String) throws {
    let place = try Workplace()
    let rows = [Self.good, row, Self.good]
    do {
      _ = try place.prepare(rows)
      Issue.record("\(row) was taken")
    } catch let error as PreparationError {
      guard case .brokenRow(let location, _) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(location.line == 2 && error.errorClass == .input)
    }
    #expect(!FileManager.default.fileExists(atPath: place.directory.path("data.h5")))
    let report = try place.prepare(rows) { $0.skipsBrokenRows = true }
    #expect(report.rowsRead == 3 && report.brokenCount == 1 && report.examples == 2)
    #expect(report.brokenRows.first?.location.line == 2)
    #expect(report.text.contains("rows.jsonl:2: "))
  }

  @Test("What the chat template refuses is a broken row")
  func refused() throws {
    let place = try Workplace("llama2", end: "</s>", template: "llama2")
    let row = #"{"messages": [{"role": "assistant", "content": "a"}]}"#
    let report = try place.prepare([ConversationTests.turns, row]) { $0.skipsBrokenRows = true }
    #expect(report.brokenCount == 1)
    #expect(report.brokenRows.first?.problem.description.contains("alternate") == true)
  }

  @Test("A dataset in which nothing counts, or nothing is, is an error")
  func nothing() throws {
    let place = try Workplace()
    #expect(throws: PreparationError.self) {
      try place.prepare([#"{"input_ids": [1, 2], "labels": [1, -100]}"#])
    }
    #expect(throws: PreparationError.self) {
      try place.prepare(["{}"]) { $0.skipsBrokenRows = true }
    }
    let report = try place.prepare([
      #"{"input_ids": [1, 2], "labels": [-100, -100]}"#, #"{"input_ids": [1, 2]}"#,
    ])
    #expect(report.withoutTarget == 1 && !report.warnings.isEmpty)
  }

  @Test(
    "Files without rows, and files that are no text, are errors even where rows may be left out")
  func noText() throws {
    let place = try Workplace()
    for (bytes, words) in [
      ([0x0a, 0x20, 0x0a], "no row"), ([0x1f, 0x8b, 0x08, 0x00], "gzip"),
      (Array("PAR1....".utf8), "Parquet"), ([0xff, 0xfe, 0x7b, 0x00], "UTF-16"),
    ] as [([UInt8], String)] {
      let path = place.directory.path("given.jsonl")
      try write(bytes, to: path)
      let error = #expect(throws: PreparationError.self) {
        try place.prepare([Self.good]) {
          $0.inputs = [path]
          $0.skipsBrokenRows = true
        }
      }
      #expect(error?.description.contains(words) == true && error?.errorClass == .input)
    }
  }

  @Test("Where every row is left out, the error says why")
  func allLeftOut() throws {
    let place = try Workplace()
    let error = #expect(throws: PreparationError.self) {
      try place.prepare([Self.good, Self.good]) { $0.maxLength = 2 }
    }
    #expect(error?.description.contains("2 longer than --max-length") == true)
  }

  @Test("An answer of nothing but its end is pointed out")
  func emptyAnswer() throws {
    let place = try Workplace()
    let report = try place.prepare([Self.good, #"{"prompt": "a\n", "completion": ""}"#])
    #expect(report.examples == 2 && report.onlyEnds == 1)
    #expect(report.warnings.count == 1 && report.warnings[0].contains("only the end token"))
  }

  @Test("A null is a key of another form's row, in tables that join several")
  func nulls() throws {
    let place = try Workplace()
    let report = try place.prepare([
      #"{"messages": null, "text": "a b", "prompt": null, "completion": null}"#, Self.good,
    ])
    #expect(report.forms == [.text: 1, .promptCompletion: 1])
  }

  @Test("Without a known end-of-text token it must be named or left out")
  func noEnd() throws {
    let place = try Workplace(end: nil)
    #expect(throws: PreparationError.self) { try place.prepare([Self.good]) }
    #expect(try place.prepare([Self.good]) { $0.appendsEndOfText = false }.examples == 1)
    #expect(throws: PreparationError.self) {
      try ModelText(directory: place.directory.path, endOfText: "<nothing>")
    }
  }

  @Test("--show tells token by token what counts")
  func show() throws {
    let place = try Workplace()
    let report = try place.prepare([Self.good, Self.good]) { $0.showCount = 1 }
    let lines = try #require(report.shown.first).split(separator: "\n")
    try #require(report.shown.count == 1 && lines.count == 5)
    #expect(lines[2].hasSuffix("   \"\\n\"") && lines[3].hasSuffix("*  \"b\""))
    #expect(lines[4].hasSuffix("*  \"<|im_end|>\""))
  }
}
