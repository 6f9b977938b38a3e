import Diagnostics
import Files
import Foundation
import Testing
import Training

@Suite("Metrics") struct MetricsWriterTests {
  private func temporaryPath() -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
  }

  private func lines(_ path: String) throws -> [String] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
  }

  @Test("Members keep their order, and numbers that JSON cannot say are null")
  func line() {
    let text = MetricsWriter.text([
      "event": "step", "step": 3, "loss": 1.0, "b": .double(.nan), "a": .double(.infinity),
    ])
    #expect(text == #"{"event": "step", "step": 3, "loss": 1.0, "b": null, "a": null}"#)
  }

  @Test("A resumed run drops what was written after its checkpoint, and broken lines")
  func resuming() throws {
    let path = temporaryPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let first = try MetricsWriter(path: path, resumingAfter: nil)
    try first.write(["event": "run", "resumed_from_step": 0])
    try first.write(["event": "step", "step": 5])
    try first.write(["event": "eval", "step": 5])
    try first.write(["event": "step", "step": 6])
    try first.write(["event": "end", "step": 5])
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data("{\"event\": \"st".utf8))
    try handle.close()

    let second = try MetricsWriter(path: path, resumingAfter: 5)
    try second.write(["event": "step", "step": 6])
    let events = try lines(path)
    #expect(
      events == [
        #"{"event": "run", "resumed_from_step": 0}"#, #"{"event": "step", "step": 5}"#,
        #"{"event": "eval", "step": 5}"#, #"{"event": "step", "step": 6}"#,
      ])
  }

  @Test("A fresh run starts an empty file")
  func fresh() throws {
    let path = temporaryPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try MetricsWriter(path: path, resumingAfter: nil).write(["event": "old"])
    try MetricsWriter(path: path, resumingAfter: nil).write(["event": "new"])
    #expect(try lines(path) == [#"{"event": "new"}"#])
  }

  @Test("A file that cannot be made is an output error")
  func unwritable() throws {
    let error = try #require(throws: FileError.self) {
      try MetricsWriter(path: "/proc/none/metrics.jsonl", resumingAfter: nil)
    }
    #expect(error.errorClass == .output)
  }
}
