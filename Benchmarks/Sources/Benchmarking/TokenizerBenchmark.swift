import Foundation
import JSON
import Tokenizers

/// Encoding by one thread: its speed on a text, and that it stays linear where a word has no end.
package enum TokenizerBenchmark {
  /// Measures.
  ///
  /// - Parameters:
  ///   - tokenizerPath: a `tokenizer.json`.
  ///   - textPath: some megabytes of text.
  package static func run(
    tokenizerPath: String, textPath: String, isQuick: Bool
  ) throws -> [Section] {
    let tokenizer = try Tokenizer(contentsOf: tokenizerPath)
    let text = try String(contentsOfFile: textPath, encoding: .utf8)
    return [
      try speed(tokenizer, text, runs: isQuick ? 1 : 5),
      try growth(tokenizer, bytes: isQuick ? 100_000 : 1_000_000, runs: isQuick ? 1 : 3),
    ]
  }

  private static func speed(_ tokenizer: Tokenizer, _ text: String, runs: Int) throws -> Section {
    var section = Section(
      "tokenizers", title: "Encoding, one thread, the quickest of \(runs)",
      columns: [
        .init("text", "text"), .init("ids", "ids", .fixed(0)), .init("seconds", "s", .fixed(3)),
        .init("megabytes_per_second", "MB/s", .fixed(2)),
      ])
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    for (name, texts) in [("line by line", lines), ("as a whole", [text])] {
      let (seconds, ids) = try best(of: runs) {
        try texts.reduce(0) { try $0 + tokenizer.encode($1).count }
      }
      section.append([
        "text": .string(name), "ids": .int(ids), "seconds": .double(seconds),
        "megabytes_per_second": .double(Double(text.utf8.count) / 1e6 / seconds),
      ])
    }
    return section
  }

  /// Texts without an end to a word: twice the length takes twice the time, not four times.
  private static func growth(_ tokenizer: Tokenizer, bytes: Int, runs: Int) throws -> Section {
    var section = Section(
      "tokenizer_growth", title: "Words without an end, of \(bytes) bytes and of twice as many",
      columns: [
        .init("text", "text"), .init("seconds", "ms", .milliseconds),
        .init("double_seconds", "twice: ms", .milliseconds), .init("ratio", "ratio", .factor),
      ])
    let units = [
      ("letters", "abcdefghij"), ("one letter", "a"), ("blanks", " "), ("newlines", "\n"),
      ("digits", "7"), ("emoji", "👨‍👩‍👧‍👦"), ("marks", "e\u{301}\u{323}"), ("Han", "漢字仮名"),
    ]
    for (name, unit) in units {
      let count = bytes / unit.utf8.count
      let times = try [count, 2 * count].map { count in
        let text = String(repeating: unit, count: count)
        return try best(of: runs) { try tokenizer.encode(text).count }.seconds
      }
      section.append([
        "text": .string(name), "seconds": .double(times[0]), "double_seconds": .double(times[1]),
        "ratio": .double(times[1] / times[0]),
      ])
    }
    return section
  }

  /// Seconds of the quickest of some runs, and what it gave.
  private static func best(
    of runs: Int, _ body: () throws -> Int
  ) rethrows -> (seconds: Double, ids: Int) {
    var (quickest, ids) = (Double.infinity, 0)
    for _ in 0..<runs { quickest = min(quickest, try Stopwatch.seconds { ids = try body() }) }
    return (quickest, ids)
  }
}
