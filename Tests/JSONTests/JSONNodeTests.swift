import Foundation
import JSON
import TestSupport
import Testing

@Suite("JSON text")
struct JSONNodeTests {
  @Test("Values of every kind are read, keys in their order")
  func values() throws {
    let value = try JSONNode(
      parsing: #" {"b": [1, -2.5, 1e3, true, null], "a": "x\n\"\u00e9\ud83d\ude00\/", "": {}} "#)
    #expect(value.object?.members.map(\.key) == ["b", "a", ""])
    let list = try #require(value["b"]?.array)
    #expect(list[0].integer == 1 && list[1].double == -2.5 && list[2].double == 1000)
    #expect(list[2].integer == nil && list[3].bool == true && list[4].isNull)
    #expect(value["a"]?.string.map { Array($0.utf8) } == Array("x\n\"é😀/".utf8))
    #expect(value[""]?.object?.count == 0)
  }

  @Test("Integers beyond 64 bits become numbers")
  func bigIntegers() throws {
    #expect(try JSONNode(parsing: "9223372036854775807").integer == Int.max)
    #expect(try JSONNode(parsing: "9223372036854775808").double == 0x1p63)
  }

  @Test("Keys are told apart by their bytes", arguments: [1, 20])
  func keys(others: Int) throws {
    let filler = (0..<others).map { "\"k\($0)\":0," }.joined()
    let value = try JSONNode(parsing: "{\(filler)\"\u{e9}\":1,\"e\u{301}\":2}")
    #expect(value["\u{e9}"]?.integer == 1 && value["e\u{301}"]?.integer == 2)
    #expect(throws: JSONError.self) { try JSONNode(parsing: "{\(filler)\"x\":1,\"x\":2}") }
  }

  @Test("Errors say line and column")
  func position() {
    #expect(
      throws: JSONError(
        line: 2, column: 7, problem: .unexpectedByte(UInt8(ascii: "]"), expected: "a value"))
    ) {
      try JSONNode(parsing: "{\n \"a\": ]}")
    }
    #expect(throws: JSONError(line: 1, column: 2, problem: .unexpectedEnd)) {
      try JSONNode(parsing: "[")
    }
  }

  @Test(
    "What is not JSON is refused",
    arguments: [
      "", "nul", "[1,]", "{\"a\"}", "01", "1.", "+1", ".5", "1e", "\"\t\"", "\"\\x\"", "\"\\u12\"",
      "\"\\udc00\"", "\"\\ud800\\u0041\"", "[1] 2", "NaN", "Infinity", "'a'", "\u{feff}1", "1e999",
    ])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try JSONNode(parsing: text) }
  }

  @Test("Nesting has a limit that no stack overflow comes before")
  func depth() throws {
    let deep = { (n: Int) in String(repeating: "[", count: n) + String(repeating: "]", count: n) }
    _ = try JSONNode(parsing: deep(128))
    #expect(throws: JSONError.self) { try JSONNode(parsing: deep(1_000_000)) }
  }

  @Test("Text is quoted as JSON and read back")
  func quoting() throws {
    let text = "a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é😀"
    #expect(try JSONNode(parsing: JSONText.quoted(text)).string == text)
    #expect(JSONText.quoted("\u{1}/é") == "\"\\u0001/é\"")
  }
}

@Suite("JSON that would take all time or memory")
struct HostileJSONTests {
  @Test(
    "Nesting without measure is an error",
    arguments: ["[", "{\"a\":", "[{\"a\":[", "[[],"])
  func nesting(text: String) {
    let source = String(repeating: text, count: 500_000)
    #expect(throws: JSONError.self) { _ = try JSONNode(parsing: source) }
  }

  @Test("A great object, text and number are read or refused soon")
  func greatness() throws {
    let clock = ThreadClock()
    let time = try clock.measure {
      let members = (0..<100_000).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
      let object = try JSONNode(parsing: "{\(members)}").object
      #expect(object?.count == 100_000)
      let digits = String(repeating: "9", count: 1_000_000)
      _ = try? JSONNode(parsing: digits)
      _ = try? JSONNode(parsing: "1e" + digits)
      _ = try? JSONNode(parsing: "\"" + String(repeating: "\\u0041", count: 300_000) + "\"")
    }
    #expect(time < .seconds(60))
  }

  @Test("Changed texts are read or refused")
  func mutations() throws {
    let count = Int(ProcessInfo.processInfo.environment["MUTATIONS"] ?? "") ?? 3000
    let source = Array(
      #"{"a": [1, -2.5e3, true, null, "é\u00e9\ud83d\ude00\n"], "b": {"c": {}, "d": [[], [0]]}}"#
        .utf8)
    var mutation = Mutation(seed: 9)
    for _ in 0..<count {
      let bytes = mutation.changed(source)
      do throws(JSONError) { _ = try JSONNode(parsing: bytes) } catch {
        #expect(error.line > 0 && error.column > 0)
      }
    }
  }
}
