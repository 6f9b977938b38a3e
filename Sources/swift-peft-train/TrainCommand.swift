import ArgumentParser
import DataParallel
import Logging
import Training

/// `train`: everything from settings to the finished adapter.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train an adapter (the default command).",
    discussion: """
      Every option is also a key of the YAML file given with --config, with underscores for dashes.
      Without --model and --data it trains on the demo that comes with the program.

      The fields of a method carry Hugging Face's names: --r 16 --lora-alpha 32 --target-modules \
      all-linear. 'train --help-all' lists the fields of every method and all other options.
      """)

  @OptionGroup var options: TrainOptions

  func run() throws {
    let end = Job.run(logsAllRanks: options.logAllRanks ?? false, mpi: options.mpiChoice) {
      (communicator, logger) -> RunOutcome.Status in
      let settings = try communicator.together { try options.settings() }
      if settings["model"] == nil && settings["data"] == nil {
        return try Demo.train(settings, communicator: communicator, logger: logger)
      } else {
        let (configuration, model, data) = try communicator.together {
          let configuration = try RunConfiguration(settings)
          return (
            configuration, try configuration.model ?? Demo.locate().basePath,
            try configuration.data ?? Demo.locate().dataPath
          )
        }
        let run = try TrainingRun(
          configuration, model: model, data: data, communicator: communicator, logger: logger)
        return try run.train().status
      }
    }
    if end == .stoppedOnRequest { throw ExitCode(Failure.stoppedOnRequest) }
  }
}
