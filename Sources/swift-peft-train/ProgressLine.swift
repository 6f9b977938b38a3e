import Foundation
import Glibc

/// How far a piece of work is, on standard error: a live line with a bar and the remaining time on a
/// terminal, elsewhere a line now and then.
final class ProgressLine {
  /// Seconds between two lines: quick for the eye, sparse for a log file.
  private static let (liveInterval, logInterval) = (0.1, 10.0)
  private static let barWidth = 30

  private let isLive =
    isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
  private let start = Date()
  private var last = Date()
  private var isShown = false

  /// Shows the share that is done, if the last time was long enough ago.
  func show(share: Double, detail: String) {
    let now = Date()
    guard now.timeIntervalSince(last) >= (isLive ? Self.liveInterval : Self.logInterval) else {
      return
    }
    last = now
    let share = min(max(share, 0), 1)
    let elapsed = now.timeIntervalSince(start)
    var text = "\(Int(share * 100)) %, \(detail)"
    if share > 0 { text += ", \(Self.duration(elapsed / share - elapsed)) left" }
    if isLive {
      let filled = Int(share * Double(Self.barWidth))
      let bar =
        String(repeating: "#", count: filled)
        + String(repeating: "-", count: Self.barWidth - filled)
      write("\r\u{1b}[K[\(bar)] \(text)")
      isShown = true
    } else {
      write(text + "\n")
    }
  }

  /// Writes a line of its own.
  func say(_ text: String) {
    finish()
    write(text + "\n")
  }

  /// Takes the live line away.
  func finish() {
    if isShown { write("\r\u{1b}[K") }
    isShown = false
  }

  deinit { finish() }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// `1:02:03`, `2:03`.
  private static func duration(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded(.up))
    let tail = String(format: "%02d", whole % 60)
    return whole < 3600
      ? "\(whole / 60):\(tail)"
      : "\(whole / 3600):\(String(format: "%02d", whole / 60 % 60)):\(tail)"
  }
}
