import ArgumentParser
import Benchmarking

/// `steps`: jobs A, B and C, and every method on A, against plain products.
struct StepsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "steps",
    abstract: "Whole steps of the program against the arithmetic that they need.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var programs: ProgramOptions
  @Option(parsing: .upToNextOption, help: "Methods to run on job A (default: all; 'none' for none)")
  var methods: [String] = MethodChoice.names

  func run() throws {
    let machine = Machine(program: programs.programPath)
    try common.report(
      machine, try StepsCommand.sections(methods, programs, try programs.workplace(machine, common))
    )
  }

  static func sections(
    _ methods: [String], _ programs: ProgramOptions, _ workplace: Workplace
  ) throws -> [Section] {
    let methods =
      methods == ["none"] ? [] : try programs.methods(methods, among: MethodChoice.names)
    var sections: [Section] = []
    if !programs.chosenJobs.isEmpty {
      sections.append(
        try StepBenchmark.jobs(
          programs.chosenJobs, precisions: programs.precisions, at: workplace))
    }
    if !methods.isEmpty {
      sections.append(
        try StepBenchmark.methods(methods, precisions: programs.precisions, at: workplace))
    }
    return sections
  }
}
