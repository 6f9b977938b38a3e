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
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Only compare steps from these bases with bf16's: nf4, q8_0, or a GGUF file of a job's model",
      valueName: "BASE"))
  var bases: [String] = []

  func validate() throws {
    for name in bases where !["nf4", "q8_0"].contains(name) && !name.hasSuffix(".gguf") {
      throw ValidationError("--bases \(name): nf4, q8_0, or a file that ends in .gguf")
    }
  }

  func run() throws {
    let machine = Machine(program: programs.programPath)
    let workplace = try programs.workplace(machine, common)
    let sections =
      bases.isEmpty
      ? try StepsCommand.sections(methods, programs, workplace)
      : [
        try BaseStepBenchmark.run(
          programs.chosenJobs, bases: bases, precisions: programs.precisions, at: workplace)
      ]
    try common.report(machine, sections)
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
