import ArgumentParser
import Training

/// What the argument parser cannot do: an option with an optional value, and other trainers' names.
enum CommandLineText {
  /// What an option stands for that is given without its value.
  private static let values = ["--resume": "newest", "--profile": "3"]

  /// Completes `--resume` without a path and `--profile` without a number, which the parser would take
  /// the next option for.
  static func prepare(_ arguments: inout [String]) {
    for index in arguments.indices {
      guard let value = values[arguments[index]] else { continue }
      let next = index + 1 < arguments.count ? arguments[index + 1] : "-"
      if next.hasPrefix("-") { arguments[index] += "=\(value)" }
    }
  }

  /// The parser's message in one line, with what the name is called here where it is known.
  static func message(for error: any Error) -> String {
    let text = SwiftPEFTTrain.message(for: error).split(separator: "\n").joined(separator: " ")
    let prefix = "Unknown option '--"
    // Only the options of train are run settings; the parser itself knows those of other commands.
    let command = CommandLine.arguments.dropFirst().first.flatMap { $0.hasPrefix("-") ? nil : $0 }
    guard [nil, "train"].contains(command), text.hasPrefix(prefix),
      let end = text.dropFirst(prefix.count).firstIndex(of: "'")
    else {
      return text + " See 'swift-peft-train help'."
    }
    let name = text[text.index(text.startIndex, offsetBy: prefix.count)..<end]
    return ConfigurationError.unknownKey(
      name: String(name).replacing("-", with: "_"), source: .commandLine,
      nearest: RunOption.nearest(to: String(name))
    ).description
  }
}
