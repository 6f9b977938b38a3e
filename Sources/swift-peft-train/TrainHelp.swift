import ArgumentParser
import Foundation
import PEFT
import Training

extension ParsableCommand {
  /// Whether the command has the options of `train`.
  static var takesTrainOptions: Bool {
    self == TrainCommand.self || self == CompareCommand.self || self == PlanCommand.self
  }
}

/// `train --help-all`: every option in groups, the fields of each method last.
///
/// It is made from the table of `RunOption` and from what the methods declare.
enum TrainHelp {
  /// Whether a command line asks for it.
  static func isAsked(_ arguments: [String]) -> Bool {
    guard let index = arguments.firstIndex(of: "--help-all"),
      !arguments[..<index].contains("--")
    else { return false }
    let command = arguments.first { !$0.hasPrefix("-") }
    return SwiftPEFTTrain.configuration.subcommands.contains {
      $0._commandName == command && $0.takesTrainOptions
    } || command == nil
  }

  /// The whole text.
  static var text: String {
    var text = """
      Every option of train, also a key of the YAML file given with --config, with underscores for
      dashes. Switches have an opposite: --no-gradient-checkpointing.

      """
    text += heading("Instead of a run, or before it")
    text += line("--config", "FILE", "YAML file of settings; the command line wins over it")
    text += line(
      "--dry-run", "", "do everything but the steps: read, check, say what the run would be")
    text += line("--print-config", "", "print every setting as commented YAML")
    text += line("--print-schema", "", "print the JSON Schema of the YAML file")
    for section in RunOption.sections {
      text += heading(section.title)
      for option in section.keys.compactMap(RunOption.named) {
        text += line(option.optionName, option.valueName, option.helpWithDefault)
      }
    }
    for method in PEFTMethods.names {
      let fields = PEFTMethods.fields(of: method)
      if fields.isEmpty { continue }
      text += heading("Fields of \(method)")
      for field in fields {
        text += line(
          "--" + field.key.replacing("_", with: "-"), field.valueName, field.helpWithDefault)
      }
    }
    return text
  }

  private static func heading(_ title: String) -> String { "\n\(title.uppercased()):\n" }

  /// An option and what it means, in two columns of at most 100 characters.
  private static func line(_ name: String, _ valueName: String, _ help: String) -> String {
    let indent = 34
    let left = "  \(name)" + (valueName.isEmpty ? "" : " <\(valueName)>")
    var lines = [""]
    for word in help.split(separator: " ") {
      let last = lines[lines.count - 1]
      if !last.isEmpty && last.count + 1 + word.count > 100 - indent {
        lines.append(String(word))
      } else {
        lines[lines.count - 1] += (last.isEmpty ? "" : " ") + word
      }
    }
    let padding = String(repeating: " ", count: indent)
    let first =
      left.count < indent
      ? left + String(repeating: " ", count: indent - left.count) : left + "\n" + padding
    return first + lines.joined(separator: "\n" + padding) + "\n"
  }
}
