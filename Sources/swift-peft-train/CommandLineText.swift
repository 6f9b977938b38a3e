import ArgumentParser
import Training

/// What the argument parser cannot do: an option with an optional value, and other trainers' names.
enum CommandLineText {
  /// Rewrites `--resume` without a path, which the parser would take the next option for, and
  /// `--prompt=TEXT` where TEXT begins with a combining mark: to the parser, which compares
  /// characters, that has no equals sign.
  static func prepare(_ arguments: inout [String]) {
    arguments = arguments.flatMap { argument in
      let scalars = argument.unicodeScalars
      guard argument.hasPrefix("--"), !argument.contains("="),
        let sign = scalars.firstIndex(of: "=")
      else { return [argument] }
      return [String(scalars[..<sign]), String(scalars[scalars.index(after: sign)...])]
    }
    for index in arguments.indices where arguments[index] == "--resume" {
      let next = index + 1 < arguments.count ? arguments[index + 1] : "-"
      if next.hasPrefix("-") { arguments[index] = "--resume=newest" }
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
