import ArgumentParser
import Training

/// `export`: a checkpoint's adapter in Hugging Face's format, without the base.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "HDF5 checkpoint to Hugging Face adapter directory, or a LoRA adapter to GGUF.",
    discussion: """
      --to hf writes what PeftModel.from_pretrained reads. --to gguf writes adapter.gguf, which llama.cpp \
      and Ollama load beside the base's GGUF file; it takes an adapter directory too.
      """)

  /// What an adapter is written as.
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case hf
    case gguf
  }

  @Argument(
    help: ArgumentHelp(
      "the checkpoint, or with --to gguf an adapter directory", valueName: "CHECKPOINT.h5|ADAPTER"))
  var checkpoint: String
  @Option(help: ArgumentHelp("the new adapter directory", valueName: "DIR")) var outputDir: String
  @Option(help: "hf or gguf") var to: Format = .hf
  @Option(
    help: ArgumentHelp(
      "with --to gguf, the base (default: what the adapter names)", valueName: "DIR|FILE"))
  var model: String?

  func run() throws {
    switch to {
    case .hf: try AdapterDirectory.export(checkpoint: checkpoint, to: outputDir)
    case .gguf: try AdapterDirectory.exportGGUF(checkpoint, model: model, to: outputDir)
    }
    Failure.write("adapter in \(outputDir)")
  }
}
