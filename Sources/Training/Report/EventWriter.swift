import Files
import Foundation
import JSON
import Reporting

/// The curves of a run as a TensorBoard event file, which grows with `metrics.jsonl`.
///
/// Each start of a run has a file of its own, as TensorBoard wants it. Names follow Hugging Face's
/// trainer: `train/loss`, `eval/loss`.
final class EventWriter {
  private let file: LineFile

  /// Starts a file in a directory, which is made where it is missing.
  ///
  /// - Parameter step: the step behind which the run goes on; 0 at its beginning.
  init(directory: String, resumingAfter step: Int) throws(FileError) {
    try OutputPlace.requireNoLink(directory)
    try OutputPlace(directory: directory).create()
    let now = Date().timeIntervalSince1970
    let host = ProcessInfo.processInfo.hostName.filter { $0.isLetter || $0.isNumber || $0 == "-" }
    let process = ProcessInfo.processInfo.processIdentifier
    let name = "events.out.tfevents.\(Int(now)).\(host.isEmpty ? "host" : host).\(process)"
    file = try LineFile(path: "\(directory)/\(name)", lines: [])
    try file.append(
      bytes: EventRecord.start(time: now) + EventRecord.restart(time: now, step: step + 1))
  }

  /// Adds the numbers of a line of the metrics, where it is about a step.
  func write(_ line: MetricsWriter.Line) throws(FileError) {
    var event: String?
    var step: Int?
    var values: [(name: String, value: Double)] = []
    for (name, value) in line {
      switch name {
      case "event": event = value.string
      case "step": step = value.int
      default:
        if let number = value.double { values.append((name, number)) }
      }
    }
    guard let step, let event, event == "step" || event == "eval" else { return }
    let group = event == "step" ? "train" : "eval"
    let named = values.map { name, value in
      ("\(group)/\(name.hasPrefix("eval_") ? String(name.dropFirst(5)) : name)", value)
    }
    try file.append(
      bytes: EventRecord.scalars(named, step: step, time: Date().timeIntervalSince1970))
  }
}
