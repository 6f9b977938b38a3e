import ArgumentParser
import Benchmarking
import Foundation

/// `bases`: what a quantised base costs in speed.
struct BasesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bases",
    abstract: "Products from quantised bases, every format, against the same in bf16, by turns.")

  @OptionGroup var common: CommonOptions
  @Option(help: "Threads that work together (default: all cores)") var threads: Int?
  @Option(parsing: .upToNextOption, help: "Tokens of a product") var tokens = [512, 2048]
  @Option(parsing: .upToNextOption, help: "Precisions of the arithmetic: f32, bf16")
  var precisions: [Precision] = Precision.allCases

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads \(threads): at least 1") }
    for count in tokens where count < 1 { throw ValidationError("--tokens \(count): at least 1") }
  }

  func run() throws {
    let machine = Machine(program: nil)
    let sections = BaseBenchmark.run(
      tokens: tokens, precisions: precisions, threads: threads ?? machine.coreCount,
      isQuick: common.quick
    ) { row in
      FileHandle.standardError.write(Data("\(row.rowText)\n".utf8))
    }
    try common.report(machine, sections)
  }
}
