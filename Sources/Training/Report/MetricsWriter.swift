import Files
import Foundation
import JSON

/// `metrics.jsonl`: one JSON object a line, on disk as soon as it is written; beside it the same
/// curves for TensorBoard.
///
/// Rank 0 alone has one. It knows lines, not what is worth writing.
package final class MetricsWriter {
  /// A line: members in the order in which they are written.
  package typealias Line = KeyValuePairs<String, JSONValue>

  /// The file.
  package let path: String
  private let file: LineFile
  private let events: EventWriter?

  /// Starts a new file, or goes on with one.
  ///
  /// - Parameters:
  ///   - path: a file of a JSON object a line.
  ///   - lastStep: when a run is resumed, the checkpoint's step: what was written after it happens
  ///     again and is dropped. Nil starts an empty file.
  ///   - repeatsEvaluation: whether that step is evaluated again, so that its line is dropped, too.
  ///   - eventDirectory: where the event file goes; nil makes none.
  /// - Throws: `FileError`, also where what is to be kept cannot be read.
  package init(
    path: String, resumingAfter lastStep: Int?,
    repeatingEvaluation repeatsEvaluation: Bool = false, eventDirectory: String? = nil
  ) throws(FileError) {
    self.path = path
    try OutputPlace.requireNoLink(path)
    var kept: [String] = []
    if let lastStep, FileManager.default.fileExists(atPath: path) {
      kept = MetricsWriter.lines(
        try InputFile.bytes(of: path), upTo: lastStep, repeatsEvaluation: repeatsEvaluation)
    }
    file = try LineFile(path: path, lines: kept)
    if let eventDirectory {
      events = try EventWriter(directory: eventDirectory, resumingAfter: lastStep ?? 0)
    } else {
      events = nil
    }
  }

  /// Writes one line, with null for numbers that JSON cannot say.
  ///
  /// - Parameter line: the event.
  /// - Parameter more: members behind the line's own, by name.
  /// - Throws: `FileError.cannotWrite`; the file then ends in the line before.
  package func write(_ line: Line, and more: [String: JSONValue] = [:]) throws(FileError) {
    try file.append(MetricsWriter.text(line, and: more))
    try events?.write(line)
  }

  /// Makes sure that all lines are on disk, for a checkpoint that comes after them.
  ///
  /// - Throws: `FileError.cannotWrite`.
  package func synchronize() throws(FileError) { try file.synchronize() }

  /// A line as text.
  package static func text(_ line: Line, and more: [String: JSONValue] = [:]) -> String {
    let all = Array(line) + more.sorted { $0.key < $1.key }
    let members = all.map { key, value in "\"\(key)\": \(value.text())" }
    return "{\(members.joined(separator: ", "))}"
  }

  /// The lines that a run resumed after `step` keeps: whole ones about steps up to it.
  static func lines(
    _ bytes: [UInt8], upTo step: Int, repeatsEvaluation: Bool = false
  ) -> [String] {
    let text = String(decoding: bytes, as: UTF8.self)
    return text.split(separator: "\n").map(String.init).filter { line in
      guard let value = try? JSONValue(parsing: Data(line.utf8)), let event = value["event"]?.string
      else { return false }
      let about = value["step"]?.int ?? value["resumed_from_step"]?.int ?? 0
      if event == "eval" && repeatsEvaluation && about == step { return false }
      return event != "end" && about <= step
    }
  }
}

/// Foundation's words for an error, in one line.
func reason(_ error: any Error) -> String {
  let words = (error as NSError).localizedDescription
  return words.hasSuffix(".") ? String(words.dropLast()) : words
}
