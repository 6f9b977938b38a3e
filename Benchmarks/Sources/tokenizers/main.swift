// Encoding, against Hugging Face's `tokenizers` on the same texts (peers/tokenizers_peer.py).
//
//     tokenizers TOKENIZER.json TEXT.txt
//
// One JSON object a line: megabytes a second of one thread on the text's lines and on the text as a
// whole, the best of five; then the seconds that a megabyte and two of texts without an end to a word
// take, whose ratio tells linear (2) from quadratic (4).

import Foundation
import Tokenizers

guard CommandLine.arguments.count == 3 else {
  FileHandle.standardError.write(Data("usage: tokenizers TOKENIZER.json TEXT.txt\n".utf8))
  exit(64)
}
let tokenizer = try Tokenizer(contentsOf: CommandLine.arguments[1])
let text = try String(contentsOfFile: CommandLine.arguments[2], encoding: .utf8)

/// Seconds of the quickest of some runs, and the ids that each gives.
func best(of runs: Int, _ body: () throws -> Int) rethrows -> (seconds: Double, ids: Int) {
  var quickest = Double.infinity
  var ids = 0
  for _ in 0..<runs {
    let time = try ContinuousClock().measure { ids = try body() }
    quickest = min(quickest, time / .seconds(1))
  }
  return (quickest, ids)
}

let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
let megabytes = Double(text.utf8.count) / 1e6
for (name, texts) in [("lines", lines), ("whole", [text])] {
  let (seconds, ids) = try best(of: 5) {
    try texts.reduce(0) { try $0 + tokenizer.encode($1).count }
  }
  print(
    #"{"text": "\#(name)", "ids": \#(ids), "seconds": \#(seconds), "#
      + #""megabytes_per_second": \#(megabytes / seconds)}"#)
}

let units = [
  ("letters", "abcdefghij"), ("one letter", "a"), ("blanks", " "), ("newlines", "\n"),
  ("digits", "7"), ("emoji", "👨‍👩‍👧‍👦"), ("marks", "e\u{301}\u{323}"), ("Han", "漢字仮名"),
]
for (name, unit) in units {
  let count = 1_000_000 / unit.utf8.count
  let times = try [count, 2 * count].map { count in
    let text = String(repeating: unit, count: count)
    return try best(of: 3) { try tokenizer.encode(text).count }.seconds
  }
  print(
    #"{"text": "\#(name)", "seconds_1MB": \#(times[0]), "seconds_2MB": \#(times[1]), "#
      + #""ratio": \#(times[1] / times[0])}"#)
}
