import Checkpointing
import Foundation

/// The directory that a run writes: names of its files, and the lock that keeps other runs out.
///
/// ```swift
/// let output = try OutputDirectory(path: "runs/lora", mayContinue: false)
/// try output.write(yaml, to: output.configurationPath)
/// ```
///
/// Rank 0 alone makes one. The lock goes with the process, however it ends.
public final class OutputDirectory {
  /// The directory.
  public let path: String
  private let lock: FileHandle

  /// The resolved configuration.
  public var configurationPath: String { path + "/config.yaml" }
  /// The metrics.
  public var metricsPath: String { path + "/metrics.jsonl" }
  /// The trace of profiled steps.
  public var profilePath: String { path + "/profile.json" }
  /// The finished adapter, or for `full` the model.
  public var adapterPath: String { path + "/adapter" }
  /// Where checkpoints lie.
  public var checkpoints: CheckpointDirectory { OutputDirectory.checkpoints(of: path) }

  /// Where the checkpoints of a run lie, for ranks that do not write.
  public static func checkpoints(of path: String) -> CheckpointDirectory {
    CheckpointDirectory(path: path + "/checkpoints")
  }

  /// The name for a run that was given none.
  public static func defaultPath(method: String, now: Date = Date()) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "yyyyMMdd-HHmmss"
    return "runs/\(method)-\(formatter.string(from: now))"
  }

  /// Makes the directory where it is missing, and locks it.
  ///
  /// - Parameter mayContinue: whether files of an earlier run are welcome (`--resume`).
  /// - Throws: `TrainingError` where it cannot be written, is in use, or holds another run.
  public init(path: String, mayContinue: Bool) throws(TrainingError) {
    self.path = path
    let manager = FileManager.default
    let lockPath = path + "/.lock"
    do {
      try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
      if !manager.fileExists(atPath: lockPath) {
        try Data().write(to: URL(fileURLWithPath: lockPath))
      }
      lock = try FileHandle(forUpdating: URL(fileURLWithPath: lockPath))
    } catch { throw .cannotWrite(path: path, reason: reason(error)) }
    // EWOULDBLOCK: somebody has it. A file system without locks (some network ones) is let pass.
    if flock(lock.fileDescriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
      throw .outputLocked(path: path)
    }
    if !mayContinue {
      let ours = ["metrics.jsonl", "config.yaml", "checkpoints", "adapter"]
      if let found = ours.first(where: { manager.fileExists(atPath: path + "/" + $0) }) {
        throw .outputInUse(path: path, found: found)
      }
    }
  }

  /// Writes a text file under a temporary name and renames it.
  ///
  /// - Throws: `TrainingError.cannotWrite`.
  public func write(_ text: String, to path: String) throws(TrainingError) {
    do { try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
      throw .cannotWrite(path: path, reason: reason(error))
    }
  }
}

/// Fills a directory aside and gives it its name when it is complete.
///
/// - Parameter replacing: whether an earlier one goes; else it must be missing or empty.
/// - Throws: `TrainingError`, or what `fill` throws; nothing is then left behind.
public func publishDirectory(
  _ path: String, replacing: Bool, _ fill: (_ temporaryPath: String) throws -> Void
) throws {
  let manager = FileManager.default
  let temporary = path + ".partial"
  if manager.fileExists(atPath: path) {
    guard let contents = try? manager.contentsOfDirectory(atPath: path) else {
      throw TrainingError.cannotWrite(path: path, reason: "it is there and no directory")
    }
    if !replacing, let found = contents.first {
      throw TrainingError.notEmpty(path: path, found: found)
    }
  }
  do {
    try? manager.removeItem(atPath: temporary)
    try manager.createDirectory(atPath: temporary, withIntermediateDirectories: true)
  } catch { throw TrainingError.cannotWrite(path: temporary, reason: reason(error)) }
  do {
    try fill(temporary)
  } catch {
    try? manager.removeItem(atPath: temporary)
    throw error
  }
  do {
    if manager.fileExists(atPath: path) { try manager.removeItem(atPath: path) }
    try manager.moveItem(atPath: temporary, toPath: path)
  } catch { throw TrainingError.cannotWrite(path: path, reason: reason(error)) }
}
