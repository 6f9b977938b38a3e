import Foundation

/// How far a piece of work is, on standard error: a live line with a bar and the remaining time on a
/// terminal, elsewhere a line now and then.
final class ProgressLine {
  /// Seconds between two drawings: quick for the eye.
  private static let liveInterval = 0.1
  private static let barWidths = 10...30

  /// Seconds between two lines of a log, at the least.
  private let logInterval: Double
  private let start = Date()
  private var last = Date()
  private var isShown = false

  /// A line that nobody sees yet.
  init(logInterval: Double = 10) { self.logInterval = logInterval }

  /// Shows the share that is done, if the last time was long enough ago.
  ///
  /// In a log, the longer the work takes the rarer are the lines.
  func show(share: Double, detail: String) {
    let now = Date()
    let elapsed = now.timeIntervalSince(start)
    let interval = Console.isTerminal ? Self.liveInterval : max(logInterval, elapsed / 10)
    guard now.timeIntervalSince(last) >= interval else { return }
    last = now
    let share = min(max(share, 0), 1)
    var text = "\(Int(share * 100)) %, \(detail)"
    if share > 0 { text += ", \(Self.duration(elapsed / share - elapsed)) left" }
    guard Console.isTerminal else { return Console.shared.write(text) }
    isShown = true
    Console.shared.draw { [text] in Self.line(share: share, text: text, columns: $0) }
  }

  /// Writes a line of its own, above.
  func say(_ text: String) { Console.shared.write(text) }

  /// Takes the live line away.
  func finish() {
    if isShown { Console.shared.finish() }
    isShown = false
  }

  deinit { finish() }

  /// The text behind a bar, where there is room for one.
  private static func line(share: Double, text: String, columns: Int) -> String {
    let width = min(columns - text.count - 3, barWidths.upperBound)
    guard width >= barWidths.lowerBound else { return text }
    let filled = Int(share * Double(width))
    return "[" + String(repeating: "#", count: filled)
      + String(repeating: "-", count: width - filled) + "] " + text
  }

  /// `1:02:03`, `2:03`.
  private static func duration(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded(.up))
    let tail = String(format: "%02d", whole % 60)
    return whole < 3600
      ? "\(whole / 60):\(tail)"
      : "\(whole / 3600):\(String(format: "%02d", whole / 60 % 60)):\(tail)"
  }
}
