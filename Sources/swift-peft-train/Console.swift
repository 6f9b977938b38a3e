import Foundation
import Glibc
import Logging
import Synchronization
import Training

/// Standard error of a person: lines, and below them one that lives, drawn again in its place.
///
/// Where standard error is no terminal, nothing is ever drawn: a log has plain lines without control
/// characters.
final class Console: Sendable {
  /// The process's own.
  static let shared = Console()

  /// Whether standard error is a terminal that moves its cursor.
  static let isTerminal =
    isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
  /// Whether colours are welcome: on a terminal, unless `NO_COLOR` is set (no-color.org).
  static let isColored =
    isTerminal && (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty

  /// A line that fits into so many columns.
  typealias FittedLine = @Sendable (_ columns: Int) -> String

  /// The line that is drawn, if one is.
  private let drawn = Mutex<FittedLine?>(nil)
  private let lastWritten = Mutex(ContinuousClock.now)

  /// When a line was written.
  var lastLine: ContinuousClock.Instant { lastWritten.withLock { $0 } }

  /// Writes a line above the live one.
  func write(_ line: String) {
    lastWritten.withLock { $0 = .now }
    drawn.withLock { drawn in
      guard let live = drawn else { return Self.send(line + "\n") }
      Self.send("\r\u{1b}[K" + line + "\n" + Self.cut(live))
    }
  }

  /// Draws the live line anew.
  func draw(_ line: @escaping FittedLine) {
    drawn.withLock { drawn in
      drawn = line
      // Over the old one, so that it does not flicker; what is left of that goes.
      Self.send("\r" + Self.cut(line) + "\u{1b}[K")
    }
  }

  /// Takes the live line away.
  func finish() {
    drawn.withLock { drawn in
      if drawn != nil { Self.send("\r\u{1b}[K") }
      drawn = nil
    }
  }

  /// As much as the terminal has columns for, the last one left free: some wrap when it is written.
  private static func cut(_ line: FittedLine) -> String {
    let columns = columns(of: STDERR_FILENO).map { $0 - 1 } ?? 79
    return String(line(columns).prefix(columns))
  }

  /// How wide the terminal is to which results go; nil where they go elsewhere.
  static var outputColumns: Int? { columns(of: STDOUT_FILENO) }

  /// How wide a terminal is.
  ///
  /// - Returns: nil where the descriptor is none.
  private static func columns(of descriptor: Int32) -> Int? {
    var size = winsize()
    // Unsafe: the call fills the structure.
    let isKnown = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return isKnown ? Int(size.ws_col) : nil
  }

  /// Writes as far as standard error takes it: a full disk or a closed terminal under the log must not
  /// end a run.
  private static func send(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      // Unsafe: the call reads the slice's bytes.
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}

/// The live line of a run.
final class LiveRun: RunDisplay {
  /// Between two drawings: quick for the eye.
  private static let interval = Duration.milliseconds(100)

  private var last: ContinuousClock.Instant?

  func isDue(logs: Bool) -> Bool {
    last.map { ContinuousClock.now - $0 >= Self.interval } ?? true
  }

  func show(_ status: RunStatus) {
    last = .now
    Console.shared.draw { status.line(columns: $0) }
  }

  func finish() { Console.shared.finish() }
}

extension LogStyle {
  /// Without a word in a log for so long, a run says where it is.
  private static let silence = Duration.seconds(60)

  /// What shows a run between the lines of its steps, on rank 0: a line that lives on a terminal, in a log
  /// a line after a minute without one.
  func display(rank: Int, logger: Logger) -> (any RunDisplay)? {
    if rank > 0 || level > .info { return nil }
    if isLive { return LiveRun() }
    return PeriodicLine(every: Self.silence, lastSaid: { Console.shared.lastLine }) { status in
      logger.info("\(status.line)", metadata: ["event": "status", "step": "\(status.step)"])
    }
  }
}
