import Foundation

/// Where a run is, between its log lines.
public struct RunStatus: Sendable {
  /// The step that was made last, from 1.
  public let step: Int
  /// Steps of the whole run.
  public let totalSteps: Int
  /// Passes over the data so far.
  public let epoch: Double
  /// Loss of that step, before its update; NaN where no token counted.
  public let loss: Double
  /// The rate of that update.
  public let learningRate: Double
  /// Tokens a second since the last log line.
  public let tokensPerSecond: Double
  /// Useful arithmetic since then, as a share of the peak.
  public let shareOfPeak: Double
  /// The most memory that this rank had, in bytes.
  public let memoryBytes: Int
  /// Seconds until the last step at this start's mean speed, evaluations left out.
  public let secondsLeft: Double

  /// The status in one line.
  public var line: String { line(columns: .max) }

  /// The status in one line of so many columns at most: what matters least is left out, part by part, and
  /// the step alone stays whatever the width.
  public func line(columns: Int) -> String {
    // In the order in which they stand; the number says which goes first.
    var parts: [(text: String, rank: Int)] = [
      ("step \(step)/\(totalSteps)", 0), (String(format: "epoch %.2f", epoch), 4),
      (String(format: "loss %.4f", loss), 1), (String(format: "lr %.3g", learningRate), 7),
      ("\(Self.duration(secondsLeft)) left", 2), ("\(Int(tokensPerSecond)) tokens/s", 3),
      ("\(percent(shareOfPeak)) of peak", 6), (megabytes(memoryBytes), 5),
    ]
    for rank in (1..<parts.count).reversed() {
      if parts.reduce(-2, { $0 + $1.text.count + 2 }) <= columns { break }
      parts.removeAll { $0.rank == rank }
    }
    return parts.map(\.text).joined(separator: "  ")
  }

  /// `1:02:03`, `2:03`; days in hours.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "?" }
    let whole = Int(seconds.rounded(.up))
    let tail = String(format: "%02d", whole % 60)
    return whole < 3600
      ? "\(whole / 60):\(tail)"
      : "\(whole / 3600):\(String(format: "%02d", whole / 60 % 60)):\(tail)"
  }
}

/// Shows where a run is while it runs.
public protocol RunDisplay: AnyObject {
  /// Whether it is time to show something new; asked after each step.
  ///
  /// - Parameter logs: whether the step has a line in the log, which comes next.
  func isDue(logs: Bool) -> Bool
  /// Shows a status.
  func show(_ status: RunStatus)
  /// Takes away what is shown: the steps are over, and a summary follows. By default there is nothing
  /// to take away.
  func finish()
}

extension RunDisplay {
  /// Does nothing.
  public func finish() {}
}

/// Shows a status as a line wherever nothing has been said for a while: in the log of a batch job, whose
/// steps may take minutes.
///
/// ```swift
/// run.display = PeriodicLine(every: .seconds(60)) { print($0.line) }
/// ```
package final class PeriodicLine: RunDisplay {
  private let interval: Duration
  private let lastSaid: () -> ContinuousClock.Instant
  private let say: (RunStatus) -> Void
  private var last: ContinuousClock.Instant

  /// A display that is silent at first.
  ///
  /// - Parameters:
  ///   - interval: how long nothing is said before it says something.
  ///   - lastSaid: when somebody else said something; by default nobody does.
  ///   - say: says it.
  package init(
    every interval: Duration,
    lastSaid: @escaping () -> ContinuousClock.Instant = { .now - .seconds(1 << 30) },
    _ say: @escaping (_ status: RunStatus) -> Void
  ) {
    (self.interval, self.lastSaid, self.say) = (interval, lastSaid, say)
    last = .now
  }

  /// Whether neither this display nor anybody else has said anything for so long, or will now.
  package func isDue(logs: Bool) -> Bool {
    !logs && ContinuousClock.now - max(last, lastSaid()) >= interval
  }

  /// Says it.
  package func show(_ status: RunStatus) {
    last = .now
    say(status)
  }
}

extension Trainer {
  /// Shows where the run is, if somebody wants to see it now.
  func show(_ report: StepReport, logs: Bool) {
    guard let display = run.display, display.isDue(logs: logs) else { return }
    let (recent, whole) = (throughput.recent, throughput.whole)
    let made = report.step - run.start.completedSteps
    let left = learningRates.totalSteps - report.step
    display.show(
      RunStatus(
        step: report.step, totalSteps: learningRates.totalSteps,
        epoch: run.schedule.epoch(afterStep: report.step), loss: report.loss,
        learningRate: report.learningRate, tokensPerSecond: recent.tokensPerSecond,
        shareOfPeak: throughput.share(recent), memoryBytes: peakMemoryBytes(),
        secondsLeft: whole.seconds / Double(max(made, 1)) * Double(left)))
  }
}
