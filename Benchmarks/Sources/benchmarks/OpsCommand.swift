import ArgumentParser
import Benchmarking
import Foundation
import JSON

/// `ops`: each operation against its bound, or against its reference.
struct OpsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ops",
    abstract:
      "Each operation of a step against its bound: multiply-adds in registers, memory bandwidth.")

  @OptionGroup var common: CommonOptions
  @Option(help: "Threads that work together (default: all cores)") var threads: Int?
  @Flag(help: "Compare each operation's results with plain arithmetic instead of timing it")
  var check = false

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads \(threads): at least 1") }
  }

  func run() throws {
    if check { return try runCheck() }
    let machine = Machine(program: nil)
    let threads = threads ?? machine.coreCount
    let sections = OperationBenchmark.run(threads: threads, isQuick: common.quick) { row in
      FileHandle.standardError.write(Data("\(row.rowText)\n".utf8))
    }
    try common.report(machine, sections)
  }

  private func runCheck() throws {
    let (section, failures) = OperationBenchmark.check()
    if common.json {
      let members = ["check": section.json, "failures": .array(failures.map { .string($0) })]
      print(JSONValue.object(members).text())
    } else {
      print(section.text)
    }
    for failure in failures { FileHandle.standardError.write(Data("\(failure)\n".utf8)) }
    if !failures.isEmpty { throw ExitCode.failure }
  }
}
