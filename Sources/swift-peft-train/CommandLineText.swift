import ArgumentParser
import Diagnostics
import Training

/// What the argument parser cannot do: an option with an optional value, negative numbers, and other
/// trainers' names.
enum CommandLineText {
  /// What an option stands for that is given without its value.
  private static let values = ["--resume": "newest", "--profile": "3"]

  /// Rewrites what the parser would misread: `--resume` without a path and `--profile` without a
  /// number, for which it would take the next option, a negative number behind an option, which it
  /// takes for an option itself, and `--prompt=TEXT` where TEXT begins with a combining mark: to the
  /// parser, which compares characters, that has no equals sign.
  ///
  /// Fields of methods become `--method-field KEY=VALUE`: the parser wants its options when it is
  /// compiled, and which fields there are is for the methods to say.
  static func prepare(_ arguments: inout [String]) {
    arguments = arguments.flatMap { argument in
      let scalars = argument.unicodeScalars
      guard argument.hasPrefix("--"), !argument.contains("="),
        let sign = scalars.firstIndex(of: "=")
      else { return [argument] }
      return [String(scalars[..<sign]), String(scalars[scalars.index(after: sign)...])]
    }
    var index = 0
    while index + 1 < arguments.count, arguments[index] != "--" {
      let (name, value) = (arguments[index], arguments[index + 1])
      if name.hasPrefix("--") && !name.contains("=") && isNegativeNumber(value) {
        arguments[index] = "\(name)=\(value)"
        arguments.remove(at: index + 1)
      }
      index += 1
    }
    for index in arguments.indices {
      guard let value = values[arguments[index]] else { continue }
      let next = index + 1 < arguments.count ? arguments[index + 1] : "-"
      if next.hasPrefix("-") { arguments[index] += "=\(value)" }
    }
    if takesMethodFields(arguments) { arguments = gatheringMethodFields(arguments) }
  }

  /// Whether a command line is of a command that has the options of `train`.
  private static func takesMethodFields(_ arguments: [String]) -> Bool {
    guard let command = arguments.first, !command.hasPrefix("-") else { return true }
    let commands = SwiftPEFTTrain.configuration.subcommands.filter { $0.takesTrainOptions }
    return commands.contains { $0._commandName == command }
  }

  /// The same arguments with each field of a method as `--method-field KEY=VALUE`; a field that has
  /// no value, though it needs one, is left as `KEY` alone, which `RunSettings` answers.
  private static func gatheringMethodFields(_ arguments: [String]) -> [String] {
    var result: [String] = []
    var lists: [String: [String]] = [:]
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      guard argument != "--" else { return result + [argument] + rest }
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let (option, isNegated) = methodOption(String(parts[0])) else {
        result.append(argument)
        continue
      }
      var values = parts.dropFirst().map(String.init)
      if option.isFlag {
        if values.isEmpty { values = [isNegated ? "false" : "true"] }
      } else if [.names, .integers, .integersOrObject].contains(option.kind) {
        while values.isEmpty || parts.count == 1, let next = rest.first, !next.hasPrefix("-") {
          values.append(next)
          rest.removeFirst()
        }
        // Given twice, a list goes on.
        let list = lists[option.key, default: []] + values
        lists[option.key] = list
        values = list.isEmpty ? [] : [list.joined(separator: ",")]
      } else if values.isEmpty, let next = rest.first, !next.hasPrefix("--") {
        values.append(next)
        rest.removeFirst()
      }
      result.append("--method-field=\(option.key)" + (values.first.map { "=" + $0 } ?? ""))
    }
    return result
  }

  /// The field that an argument names, and whether as `--no-…`.
  private static func methodOption(_ argument: String) -> (option: RunOption, isNegated: Bool)? {
    guard argument.hasPrefix("--") else { return nil }
    let name = String(argument.dropFirst(2))
    for (name, isNegated) in [(name, false), (String(name.dropFirst(3)), true)] {
      guard isNegated == false || argument.hasPrefix("--no-"), !name.contains("_"),
        let option = RunOption.named(name.replacing("-", with: "_")), option.group == .method,
        option.isFlag || !isNegated
      else { continue }
      return (option, isNegated)
    }
    return nil
  }

  /// Whether a text starts as a negative number or a list of them does: `-1`, `-.5`, `-1,2`.
  private static func isNegativeNumber(_ text: String) -> Bool {
    let rest = text.dropFirst()
    return text.hasPrefix("-")
      && (rest.first?.isNumber ?? false || rest.hasPrefix(".") || Double(text) != nil)
  }

  /// The parser's message in one line, with what the name is called here where it is known.
  static func message(for error: any Error) -> String {
    let text = SwiftPEFTTrain.message(for: error).split(separator: "\n").joined(separator: " ")
    let prefix = "Unknown option '--"
    // Only the options of train are run settings; the parser itself knows those of other commands.
    let command = CommandLine.arguments.dropFirst().first.flatMap { $0.hasPrefix("-") ? nil : $0 }
    if let command, text == "Unexpected argument '\(command)'" {
      let names = SwiftPEFTTrain.configuration.subcommands.map { $0._commandName }
      let suggestion = nearestName(to: command, among: names).map { "Did you mean '\($0)'? " } ?? ""
      return "'\(command)' is no command. \(suggestion)There are "
        + "\(names.joined(separator: ", ")); without any it trains on the demo."
    }
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
