import ArgumentParser
import DataParallel
import Files
import Foundation
import Training

/// The program: parameter-efficient fine-tuning on CPU clusters.
///
/// Each command is a file of this target and thin: it reads its options and calls the library.
@main
struct SwiftPEFTTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swift-peft-train",
    abstract: "Parameter-efficient fine-tuning of language models on CPU clusters, over MPI.",
    discussion: """
      Without any argument it trains on the demo that comes with the program.
      Under mpirun or srun the ranks share the work of train and evaluate.
      """,
    version: ProgramVersion.text,
    subcommands: [
      TrainCommand.self, PrepareCommand.self, TokenizeCommand.self, EvaluateCommand.self,
      GenerateCommand.self, MergeCommand.self, ExportCommand.self, InspectCommand.self,
      PlanCommand.self, CompareCommand.self,
    ],
    defaultSubcommand: TrainCommand.self)

  /// Runs the command line and ends with the status that the interface promises.
  static func main() {
    // First of all: a signal that comes before it kills.
    StopRequest.remember()
    var arguments = Array(CommandLine.arguments.dropFirst())
    if TrainHelp.isAsked(arguments) { return print(TrainHelp.text, terminator: "") }
    CommandLineText.prepare(&arguments)
    do {
      var command = try parseAsRoot(arguments)
      if type(of: command).goesOnLater {
        StopRequest.listen()
      } else {
        StopRequest.endProcess { end in UnfinishedOutputs.removeAll(then: end) }
      }
      try command.run()
    } catch {
      Failure.leave(with: error)
    }
  }
}

extension ParsableCommand {
  /// Whether the command stops at a good place when it is asked to, and goes on from there later.
  ///
  /// A plan has nothing to go on with.
  fileprivate static var goesOnLater: Bool { takesTrainOptions && self != PlanCommand.self }
}
