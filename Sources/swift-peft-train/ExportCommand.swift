import ArgumentParser
import Training

/// `export`: a checkpoint's adapter in Hugging Face's format, without the base.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "HDF5 checkpoint to Hugging Face adapter directory.")

  @Argument(help: ArgumentHelp("the checkpoint", valueName: "CHECKPOINT.h5")) var checkpoint: String
  @Option(help: ArgumentHelp("the new adapter directory", valueName: "DIR")) var outputDir: String

  func run() throws {
    try AdapterDirectory.export(checkpoint: checkpoint, to: outputDir)
    Failure.write("adapter in \(outputDir)")
  }
}
