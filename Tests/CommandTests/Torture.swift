import Foundation

/// How long the programs go on that do harm at random.
///
/// `make torture N=1000` sets the number; the test command takes a few of each. Where `TORTURE_STATE`
/// names a directory, what is done is kept there, and a program that was stopped goes on behind it.
enum Torture {
  /// What was asked for; nil in the test command.
  static let count = ProcessInfo.processInfo.environment["TORTURE"].flatMap { Int($0) }

  /// Where what is done is kept.
  static let folder = ProcessInfo.processInfo.environment["TORTURE_STATE"]

  /// How far a program is.
  struct State {
    private let path: String?

    /// Reads how far an earlier start came.
    init(name: String) {
      path = folder.map { "\($0)/\(name)" }
      done = 0
      if let path, let text = try? String(contentsOfFile: path, encoding: .utf8) {
        done = Int(text) ?? 0
      }
    }

    /// Cases that are done.
    var done: Int {
      didSet {
        guard let path else { return }
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try? "\(done)".write(toFile: path, atomically: true, encoding: .utf8)
      }
    }
  }
}
