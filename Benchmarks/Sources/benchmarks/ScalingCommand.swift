import ArgumentParser
import Benchmarking
import DataParallel
import Foundation
import JSON

/// `scaling`: ranks, their agreement, and the start.
struct ScalingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scaling",
    abstract: "What ranks gain, what the exact reduction costs, how long a start takes.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var programs: ProgramOptions

  func run() throws {
    let machine = Machine(program: programs.programPath)
    try common.report(
      machine, try ScalingCommand.sections(programs, try programs.workplace(machine, common)))
  }

  static func sections(
    _ programs: ProgramOptions, _ workplace: Workplace
  ) throws -> [Section] {
    let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path
    return [
      try ScalingBenchmark.ranks(precisions: programs.precisions, at: workplace),
      try ScalingBenchmark.reduction(
        rankCommand: [own, ReductionRankCommand.name], at: workplace),
      try ScalingBenchmark.start(precisions: programs.precisions, at: workplace),
    ]
  }
}

/// What `scaling` starts under `mpirun`.
struct ReductionRankCommand: ParsableCommand {
  static let name = "reduction-rank"
  static let configuration = CommandConfiguration(
    commandName: name, abstract: "One rank of the reduction's measurement.",
    shouldDisplay: false)

  @Option(help: "How often each reduction is measured") var repeats = 20

  @Flag(help: "The tiny job's adapter") var tiny = false

  func run() throws {
    let communicator = try Communicator()
    let measurement = try ReductionMeasurement(
      communicator: communicator, job: tiny ? .tiny : .a, repeats: repeats)
    if communicator.rank == 0 { print(measurement.json.text()) }
    communicator.finalize()
  }
}
