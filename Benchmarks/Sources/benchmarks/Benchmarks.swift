import ArgumentParser
import Benchmarking
import Foundation
import JSON

/// The program: a subcommand for each kind of measurement.
@main
struct Benchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmarks",
    abstract: "Measure swift-peft-train against the machine's limits and against its peers.",
    subcommands: [OpsCommand.self])
}

/// What all measurements take.
struct CommonOptions: ParsableArguments {
  @Flag(help: "Print one JSON object on standard output") var json = false
  @Flag(help: "Fewer and shorter measurements") var quick = false

  /// Prints the machine and the sections, as tables or as one object.
  func report(_ machine: Machine, _ sections: [Section]) {
    if json {
      var members: [String: JSONValue] = ["machine": machine.json, "quick": .bool(quick)]
      for section in sections { members[section.name] = section.json }
      print(JSONValue.object(members).text())
    } else {
      print(machine.text)
      print(sections.map(\.text).joined(separator: "\n"))
    }
  }
}

/// `ops`: each operation against its bound, or against its reference.
struct OpsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ops",
    abstract: "Each operation of a step against its bound: plain products, memory bandwidth.")

  @OptionGroup var common: CommonOptions
  @Option(help: "Threads that work together (default: all cores)") var threads: Int?
  @Flag(
    help: "Compare each operation's results with plain arithmetic instead of timing it")
  var check = false

  func run() throws {
    if check { return try runCheck() }
    let machine = Machine(program: nil)
    common.report(
      machine,
      OperationBenchmark.run(threads: threads ?? machine.coreCount, isQuick: common.quick))
  }

  private func runCheck() throws {
    let (section, failures) = OperationBenchmark.check()
    if common.json {
      print(
        JSONValue.object(["check": section.json, "failures": .int(failures.count)]).text())
    } else {
      print(section.text)
    }
    for failure in failures { FileHandle.standardError.write(Data("\(failure)\n".utf8)) }
    if !failures.isEmpty { throw ExitCode.failure }
  }
}
