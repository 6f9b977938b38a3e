import Checkpointing
import Files
import Foundation

/// The directory that a run writes: names of its files, and the lock that keeps other runs out.
///
/// ```swift
/// let output = try OutputDirectory(path: "runs/lora", mayContinue: false)
/// try output.write(yaml, to: output.configurationPath)
/// ```
///
/// Rank 0 alone makes one. The lock goes with the process, however it ends.
package final class OutputDirectory {
  /// The directory.
  package let path: String
  private let lock: DirectoryLock

  /// The resolved configuration.
  package var configurationPath: String { path + "/config.yaml" }
  /// The metrics.
  package var metricsPath: String { path + "/metrics.jsonl" }
  /// The run on one page.
  package var reportPath: String { path + "/report.html" }
  /// The event files for TensorBoard.
  package var eventDirectory: String { path + "/tensorboard" }
  /// The trace of profiled steps.
  package var profilePath: String { path + "/profile.json" }
  /// The finished adapter, or for `full` the model.
  package var adapterPath: String { path + "/adapter" }
  package var checkpoints: CheckpointDirectory { OutputDirectory.checkpoints(of: path) }

  /// Where the checkpoints of a run lie, for ranks that do not write.
  package static func checkpoints(of path: String) -> CheckpointDirectory {
    CheckpointDirectory(path: path + "/checkpoints")
  }

  /// The name for a run that was given none.
  package static func defaultPath(method: String, now: Date = Date()) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "yyyyMMdd-HHmmss"
    return "runs/\(method)-\(formatter.string(from: now))"
  }

  /// Everything inside that belongs to a run.
  private static let members = [
    "metrics.jsonl", "config.yaml", "checkpoints", "adapter", "profile.json", "report.html",
    "tensorboard",
  ]

  /// Makes the directory where it is missing, locks it, and clears away what a dead run left half
  /// written.
  ///
  /// - Parameter path: the directory, or where it is to be.
  /// - Parameter mayContinue: whether files of an earlier run are welcome (`--resume`).
  /// - Throws: `TrainingError` where it is in use or holds another run, `FileError` where it cannot be
  ///   written or something inside is a link.
  package init(path: String, mayContinue: Bool) throws {
    let place = try OutputPlace(directory: path)
    self.path = place.path
    try place.create()
    for name in Self.members { try place.requireNoLink(name) }
    guard let lock = try DirectoryLock(place) else { throw TrainingError.outputLocked(path: path) }
    self.lock = lock
    if !mayContinue { try Self.requireNoRun(place, path) }
    PartialName.removeLeftovers(ofAllIn: place)
    PendingDirectory.recover(try OutputPlace(directory: adapterPath))
  }

  private static func requireNoRun(_ place: OutputPlace, _ path: String) throws(TrainingError) {
    let found = members.first { FileManager.default.fileExists(atPath: place.member($0)) }
    if let found { throw TrainingError.outputInUse(path: path, found: found) }
  }

  /// Checks that the directory could be made and written, and makes nothing.
  ///
  /// - Throws: as ``init(path:mayContinue:)``, but for another run that is writing.
  static func check(path: String, mayContinue: Bool) throws {
    let place = try OutputPlace(directory: path)
    for name in members { try place.requireNoLink(name) }
    if !mayContinue { try requireNoRun(place, path) }
    // The nearest directory that is there must take new ones.
    var existing = URL(fileURLWithPath: place.path).standardizedFileURL
    while !FileManager.default.fileExists(atPath: existing.path), existing.path != "/" {
      existing.deleteLastPathComponent()
    }
    guard FileKind.at(existing.path) == .directory else {
      throw FileError.cannotWrite(
        path: place.path, call: "stat", reason: "\(existing.path) is not a directory")
    }
    guard FileManager.default.isWritableFile(atPath: existing.path) else {
      throw FileError.cannotWrite(
        path: place.path, call: "access", reason: "no permission to write in \(existing.path)")
    }
  }

  /// Writes a text file, whole or not at all.
  ///
  /// - Throws: `FileError`.
  package func write(_ text: String, to path: String) throws(FileError) {
    try OutputPlace.requireNoLink(path)
    try PendingFile.write(text, to: path)
  }
}

/// Fills a directory aside and gives it its name when it is complete.
///
/// - Parameters:
///   - path: the name that it gets.
///   - replacing: whether an earlier one goes; else it must be missing or empty. A directory that
///     is replaced lies inside an output directory, so it must not be a link.
///   - fill: writes the files into a directory of another name.
/// - Throws: `FileError`, or what `fill` throws; nothing is then left behind.
package func publishDirectory(
  _ path: String, replacing: Bool, _ fill: (_ temporaryPath: String) throws -> Void
) throws {
  if replacing { try OutputPlace.requireNoLink(path) }
  let pending = try PendingDirectory(OutputPlace(directory: path), replacing: replacing)
  try fill(pending.partialPath)
  try pending.publish()
}
