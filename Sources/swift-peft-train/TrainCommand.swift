import ArgumentParser
import DataParallel
import Foundation
import Logging
import PEFT
import Training

/// `train`: everything from settings to the finished adapter.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train an adapter (the default command).",
    discussion: """
      Without --model and --data it trains on the demo. 'train --help-all' lists all options, the \
      fields of each method (--r 16) too; each is also a key of the --config file, with underscores \
      for dashes.
      """)

  @Flag(help: "Do everything but the steps; write nothing")
  var dryRun = false
  @Flag(help: "Print every setting as commented YAML") var printConfig = false
  @Flag(help: "Print the JSON Schema of the YAML file") var printSchema = false
  @OptionGroup var options: TrainOptions

  func run() throws {
    if printConfig || printSchema {
      let claim = LauncherClaim(environment: ProcessInfo.processInfo.environment)
      guard claim?.rank ?? 0 == 0 else { return }
      return print(try text(), terminator: "")
    }
    let style = options.logStyle
    let end = Job.run(style: style, mpi: options.mpiChoice) {
      (communicator, logger) -> RunOutcome.Status in
      let settings = try communicator.together { try options.settings() }
      if settings["model"] == nil && settings["data"] == nil {
        return try Demo.train(
          settings, communicator: communicator, logger: logger, isDryRun: dryRun,
          display: style.display(rank: communicator.rank, logger: logger))
      } else {
        let (configuration, model, data) = try communicator.together {
          let configuration = try RunConfiguration(settings)
          return (
            configuration, try configuration.model ?? Demo.locate().basePath,
            try configuration.data ?? Demo.locate().dataPath
          )
        }
        let run = try TrainingRun(
          configuration, model: model, data: data, communicator: communicator, logger: logger,
          writes: !dryRun)
        if dryRun {
          try run.dryRun()
          return .completed
        }
        run.display = style.display(rank: communicator.rank, logger: logger)
        return try run.train().status
      }
    }
    if end == .stoppedOnRequest { throw ExitCode(Failure.stoppedOnRequest) }
  }

  /// What is asked for instead of a run.
  private func text() throws -> String {
    if printSchema { return RunOption.schema }
    let settings = try options.settings()
    // What cannot be run is not printed either.
    let configuration = try RunConfiguration(settings)
    guard PEFTMethods.names.contains(configuration.method) else {
      throw PEFTError.unknownMethod(name: configuration.method, known: PEFTMethods.names)
    }
    return settings.commentedYAML
  }
}
