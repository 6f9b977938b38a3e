import Foundation
import JSON

/// `metrics.jsonl`: one JSON object a line, on disk as soon as it is written.
///
/// Rank 0 alone has one. It knows lines, not what is worth writing.
public final class MetricsWriter {
  /// A line: members in the order in which they are written.
  public typealias Line = KeyValuePairs<String, JSONValue>

  /// The file.
  public let path: String
  private let handle: FileHandle

  /// Starts a new file, or goes on with one.
  ///
  /// - Parameter lastStep: when a run is resumed, the checkpoint's step: what was written after it
  ///   happens again and is dropped. Nil starts an empty file.
  /// - Throws: `TrainingError.cannotWrite`.
  public init(path: String, resumingAfter lastStep: Int?) throws(TrainingError) {
    self.path = path
    let kept = lastStep.map { MetricsWriter.lines(of: path, upTo: $0) } ?? []
    do {
      let text = kept.map { $0 + "\n" }.joined()
      try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
      handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try handle.seekToEnd()
    } catch { throw .cannotWrite(path: path, reason: reason(error)) }
  }

  /// Writes one line, with null for numbers that JSON cannot say.
  ///
  /// - Parameter more: members behind the line's own, by name.
  /// - Throws: `TrainingError.cannotWrite`.
  public func write(_ line: Line, and more: [String: JSONValue] = [:]) throws(TrainingError) {
    let text = MetricsWriter.text(line, and: more) + "\n"
    do { try handle.write(contentsOf: Data(text.utf8)) } catch {
      throw .cannotWrite(path: path, reason: reason(error))
    }
  }

  /// A line as text.
  public static func text(_ line: Line, and more: [String: JSONValue] = [:]) -> String {
    let all = Array(line) + more.sorted { $0.key < $1.key }
    let members = all.map { key, value in
      if case .double(let number) = value, !number.isFinite { return "\"\(key)\": null" }
      return "\"\(key)\": \(value.text())"
    }
    return "{\(members.joined(separator: ", "))}"
  }

  /// The lines that a run resumed after `step` keeps: whole ones about steps up to it.
  static func lines(of path: String, upTo step: Int) -> [String] {
    guard let text = try? String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8) else {
      return []
    }
    return text.split(separator: "\n").map(String.init).filter { line in
      guard let value = try? JSONValue(parsing: Data(line.utf8)), let event = value["event"]?.string
      else { return false }
      return event != "end" && (value["step"]?.int ?? value["resumed_from_step"]?.int ?? 0) <= step
    }
  }
}

/// Foundation's words for an error, in one line.
func reason(_ error: any Error) -> String {
  let words = (error as NSError).localizedDescription
  return words.hasSuffix(".") ? String(words.dropLast()) : words
}
