import Foundation
import JSON
import Preparation
import Templates
import TestSupport
import Testing
import Training

/// What the commands take, held against what tests name and what errors advise.
@Suite("Options of the commands")
struct OptionCoverageTests {
  private static let commands = [
    "train", "prepare", "tokenize", "evaluate", "generate", "merge", "export", "inspect", "compare",
    "plan",
  ]

  /// The options that a command's help shows.
  private static func options(of command: String) throws -> Set<String> {
    let help = try ProcessRunner.run(
      Workbench.program, [command, command == "train" ? "--help-all" : "--help"])
    try #require(help.status == 0, "\(help.errors)")
    let words = help.output.matches(of: /--[a-z][a-z0-9-]*/).map { String($0.output) }
    return Set(words)
  }

  private static func sources(under directory: String) throws -> [(path: String, text: String)] {
    let root = Fixtures.directory.deletingLastPathComponent().deletingLastPathComponent().path
    let files = try #require(FileManager.default.enumerator(atPath: "\(root)/\(directory)"))
    return try files.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.map {
      ($0, try String(contentsOfFile: "\(root)/\(directory)/\($0)", encoding: .utf8))
    }
  }

  @Test("A test names every option of every command")
  func everyOption() throws {
    let tests = try Self.sources(under: "Tests").map(\.text).joined()
    for command in Self.commands {
      for option in try Self.options(of: command).subtracting(["--help", "--help-all", "--version"])
      {
        // Those of train may stand as keys of YAML.
        let name = option.hasPrefix("--no-") ? option.dropFirst(5) : option.dropFirst(2)
        let key = name.replacing("-", with: "_")
        let isNamed =
          tests.contains("--\(name)") || tests.contains("--no-\(name)")
          || tests.contains("\"\(key)\"") || tests.contains("\(key):")
        #expect(isNamed, "no test names \(option) of \(command)")
      }
    }
  }

  /// Options of other programs that messages advise.
  private static let foreign: Set<String> = [
    "--bind-to", "--map-by", "--mem", "--time", "--bigendian", "--ntasks", "--cpus-per-task",
    "--ntasks-per-node", "--nodes",
    "--oversubscribe", "--ntasks", "--low", "--high", "--lora",
  ]

  @Test("An option that any message names is one, and one of the command whose file names it")
  func messages() throws {
    var byCommand: [String: Set<String>] = [:]
    for command in Self.commands { byCommand[command] = try Self.options(of: command) }
    let every = byCommand.values.reduce(into: Self.foreign) { $0.formUnion($1) }
      .union(RunOption.all.map(\.optionName)).union([
        "--method-field", "--version", "--no", "--help", "--help-all",
      ])
    for (path, text) in try Self.sources(under: "Sources") where !path.hasSuffix("Style.swift") {
      let command = byCommand.keys.first {
        path.hasSuffix("swift-peft-train/\($0.capitalized)Command.swift")
      }
      for line in text.split(separator: "\n") {
        let code = line.drop(while: \.isWhitespace)
        if code.hasPrefix("//") { continue }
        for match in " \(code)".matches(of: /[^a-zA-Z0-9-](--[a-z][a-z0-9-]*[a-z0-9])/) {
          let option = String(match.output.1)
          #expect(every.contains(option), "\(path) names \(option), which no command has")
          guard let command, !Self.foreign.contains(option), option != "--help-all" else {
            continue
          }
          #expect(
            byCommand[command]?.contains(option) == true
              || RunOption.all.contains { $0.optionName == option },
            "\(path) names \(option), which \(command) has not")
        }
      }
    }
  }

  /// Errors of parts that several commands share, with those that may end so.
  private static let shared: [(error: any Error, commands: [String])] = [
    (
      PreparationError.missingEndOfText(
        "</s>", directory: "model", tokenizer: "tokenizer.json", configured: nil),
      ["prepare", "generate", "inspect"]
    ),
    (PreparationError.unknownToken("</s>", tokenizer: "tokenizer.json"), ["prepare", "generate"]),
    (PreparationError.noEndOfText(tokenizer: "tokenizer.json"), ["prepare"]),
    (
      TemplateError.unsupported(template: "t", line: 1, part: "filter", name: "x"),
      ["prepare", "generate", "inspect"]
    ),
    (
      TrainingError.nonFiniteEvaluation(data: "d", split: "s", examples: 0...1),
      ["train", "compare", "evaluate"]
    ),
    (TrainingError.mergeDiffers(error: 1, limit: 0), ["merge"]),
    (TrainingError.noAdapter(path: "p", method: "full"), ["export"]),
    (TrainingError.otherTokens(data: "d", tokenizer: "t"), ["train", "compare", "evaluate"]),
  ]

  @Test("What a shared error advises, its command has, or another that it names")
  func advice() throws {
    var byCommand: [String: Set<String>] = [:]
    for command in Self.commands { byCommand[command] = try Self.options(of: command) }
    for (error, commands) in Self.shared {
      let text = "\(error)"
      let named = Self.commands.filter {
        text.contains("swift-peft-train \($0)") || text.contains("\($0) and ")
          || text.contains("and \($0) ")
      }.flatMap { byCommand[$0] ?? [] }
      for match in text.matches(of: /--[a-z][a-z0-9-]*/) {
        let option = String(match.output)
        for command in commands where !named.contains(option) {
          #expect(byCommand[command]?.contains(option) == true, "\(command): \(text)")
        }
      }
    }
  }
}
