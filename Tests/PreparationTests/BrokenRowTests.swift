import Foundation
import Preparation
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
