import Foundation
import JSON
import Logging
import Training

/// How a command logs.
struct LogStyle: Sendable {
  /// Lines below it are left out.
  var level = Logger.Level.info
  /// A JSON object a line.
  var isJSON = false
  /// Whether ranks other than 0 log.
  var logsAllRanks = false
  /// Whether a line at the bottom of the terminal lives, in place of the lines of single steps.
  var isLive = false

  init(logsAllRanks: Bool = false) { self.logsAllRanks = logsAllRanks }

  /// What the settings of a run ask for.
  init(_ settings: RunSettings) {
    func flag(_ key: String) -> Bool { settings[key]?.bool ?? false }
    level = flag("quiet") ? .warning : flag("verbose") ? .debug : .info
    isJSON = flag("log_json")
    logsAllRanks = flag("log_all_ranks")
    isLive = Console.isTerminal && !isJSON && !flag("quiet")
  }
}

/// Log lines on standard error.
///
/// As text: the time, warnings marked, the rank where more than one logs. As JSON: `time` (ISO 8601),
/// `level`, `rank`, `message`, and what the line has in figures.
struct StandardErrorLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level
  private let style: LogStyle
  private let rank: Int
  private let prefix: String
  private let formatter: DateFormatter

  /// A logger for a rank; ranks other than 0 are silent unless all are to log.
  static func logger(rank: Int, worldSize: Int, style: LogStyle) -> Logger {
    var logger = Logger(label: "swift-peft-train") { _ in
      StandardErrorLog(
        style, rank: rank,
        prefix: style.logsAllRanks && worldSize > 1 ? "[rank \(rank)/\(worldSize)] " : "")
    }
    if rank != 0 && !style.logsAllRanks { logger.logLevel = .critical }
    return logger
  }

  private init(_ style: LogStyle, rank: Int, prefix: String) {
    self.style = style
    self.rank = rank
    self.prefix = prefix
    logLevel = style.level
    formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = style.isJSON ? "yyyy-MM-dd'T'HH:mm:ss.SSSXXX" : "HH:mm:ss"
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let time = formatter.string(from: Date())
    let figures = event.metadata ?? [:]
    if style.isJSON {
      var members: [(String, JSONValue)] = [
        ("time", .string(time)), ("level", .string(event.level.rawValue)), ("rank", .int(rank)),
        ("message", .string("\(event.message)")),
      ]
      for (key, value) in figures.sorted(by: { $0.key < $1.key }) {
        members.append((key, Self.json("\(value)")))
      }
      let text = members.map { "\(JSONText.quoted($0)): \($1.text())" }.joined(separator: ", ")
      return Console.shared.write("{\(text)}")
    }
    // The live line says it.
    if style.isLive, style.level > .debug, figures["event"] == "step" { return }
    var mark = event.level >= .warning ? "\(event.level): " : ""
    if !mark.isEmpty, Console.isColored {
      mark = "\u{1b}[\(event.level == .warning ? 33 : 31)m\(mark)\u{1b}[0m"
    }
    Console.shared.write("\(time)  \(prefix)\(mark)\(event.message)")
  }

  private static func json(_ text: String) -> JSONValue {
    if let whole = Int(text) { return .int(whole) }
    if let number = Double(text) { return .double(number) }
    return .string(text)
  }
}
