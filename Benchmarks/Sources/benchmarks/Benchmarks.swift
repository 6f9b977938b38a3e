import ArgumentParser
import Benchmarking

/// The program: a subcommand for each kind of measurement.
@main
struct Benchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmarks",
    abstract: "Measure swift-peft-train against the machine's limits and against its peers.",
    subcommands: [
      OpsCommand.self, BasesCommand.self, StepsCommand.self, ScalingCommand.self, PeersCommand.self,
      AllCommand.self,
      TokenizersCommand.self, ReductionRankCommand.self,
    ])
}
