import DataParallel
import Diagnostics
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// When a run is to have stopped.
public enum TimeLimit: Sendable, Hashable {
  /// So many seconds after the program was started.
  case seconds(Double)
  /// When Slurm ends the job.
  case slurm

  /// Reads `3h50m` or `auto`; nil where it is neither.
  public init?(_ text: String) {
    if text == "auto" {
      self = .slurm
    } else if let seconds = DurationText.seconds(text) {
      self = .seconds(seconds)
    } else {
      return nil
    }
  }
}

/// Decides, on rank 0, when the time is nearly over: so early that a micro-batch more and two
/// checkpoints still fit.
///
/// ```swift
/// var clock = try RunClock(limit, environment: environment)
/// clock.add(saving: 0.8)
/// if clock.isTimeToStop { … }
/// ```
struct RunClock {
  /// Seconds that a batch script gets to put the job back into the queue.
  static let scriptSeconds = 30.0
  /// The least that is kept free.
  private static let leastReserve = 1.0

  private let end: ContinuousClock.Instant
  private let reserve: Double
  private var longestSave = 0.0
  private var longestStretch = 0.0
  private var stretchBegan: ContinuousClock.Instant?

  /// Asks Slurm where it is to be asked.
  ///
  /// - Throws: `ConfigurationError.conflict` where Slurm does not say when the job ends.
  init(_ limit: TimeLimit, environment: [String: String]) throws(ConfigurationError) {
    switch limit {
    case .seconds(let seconds):
      end = .now - StopRequest.elapsed + .seconds(seconds)
      reserve = Self.leastReserve
    case .slurm:
      guard let left = SlurmJob.secondsLeft(environment: environment) else {
        throw .conflict(
          "--time-limit auto asks Slurm when the job ends, and Slurm does not say it (SLURM_JOB_END_TIME is not set, and neither scontrol nor squeue answer)",
          remedy: "Give the time, such as --time-limit 3h50m")
      }
      end = .now + .seconds(left)
      // A short job must do something, too.
      reserve = min(Self.scriptSeconds, left / 10)
    }
  }

  /// Seconds until the limit.
  var secondsLeft: Double { (end - .now) / .seconds(1) }

  /// Learns how long a checkpoint takes.
  mutating func add(saving seconds: Double) {
    longestSave = max(longestSave, seconds)
    stretchBegan = nil
  }

  /// Called between stretches of work that nothing can interrupt: whether the next may be too long.
  mutating func isTimeToStop() -> Bool {
    let now = ContinuousClock.now
    if let stretchBegan {
      longestStretch = max(longestStretch, (now - stretchBegan) / .seconds(1))
    }
    stretchBegan = now
    return (end - now) / .seconds(1) < reserve + longestStretch + 2 * longestSave
  }
}

/// What Slurm says of the job that this process is in.
enum SlurmJob {
  /// Seconds until the job's end; nil where there is no job, or none that ends.
  static func secondsLeft(environment: [String: String], now: Date = Date()) -> Double? {
    if let text = environment["SLURM_JOB_END_TIME"], let end = Double(text) {
      return end - now.timeIntervalSince1970
    }
    guard let job = environment["SLURM_JOB_ID"] else { return nil }
    if let text = output(["squeue", "-h", "-j", job, "-o", "%L"], environment) {
      return seconds(left: text)
    }
    guard let text = output(["scontrol", "show", "job", job, "-o"], environment) else { return nil }
    return seconds(scontrol: text, now: now)
  }

  /// Reads `[days-]hours:minutes:seconds`, where all but minutes and seconds may be missing.
  static func seconds(left text: String) -> Double? {
    let parts = text.trimmingCharacters(in: .whitespacesAndNewlines).split(separator: "-")
    guard let clock = parts.last, parts.count <= 2,
      let days = parts.count == 2 ? Double(parts[0]) : 0
    else { return nil }
    let numbers = clock.split(separator: ":").map { Double($0) }
    guard (2...3).contains(numbers.count), !numbers.contains(nil) else { return nil }
    return numbers.compactMap(\.self).reduce(0) { 60 * $0 + $1 } + 86_400 * days
  }

  /// Reads `EndTime=2026-11-28T12:00:00` of the controller's answer, a local time.
  static func seconds(scontrol text: String, now: Date) -> Double? {
    guard let field = text.split(separator: " ").first(where: { $0.hasPrefix("EndTime=") }) else {
      return nil
    }
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "yyyy-MM-dd'T'HH:mm:ss"
    return formatter.date(from: String(field.dropFirst(8)))?.timeIntervalSince(now)
  }

  /// What a command prints; nil where it fails or does not answer in ten seconds.
  private static func output(_ command: [String], _ environment: [String: String]) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "10"] + command
    process.environment = environment
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
  }
}
