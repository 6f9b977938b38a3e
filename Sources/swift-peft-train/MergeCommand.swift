import ArgumentParser
import Files
import Foundation
import Kernels
import Model
import PEFT
import Tensors
import Training

/// `merge`: an adapter folded into its base, as a model directory that needs neither.
struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Fold an adapter into its base: a stand-alone model, for Hugging Face or llama.cpp.",
    discussion: """
      --to hf writes a Hugging Face model directory, --to gguf model.gguf with tokenizer and chat template. \
      A quantised base is decoded first and not quantised again, but to q8_0 where that is asked for.
      """)

  @Option(help: ArgumentHelp("Hugging Face model directory or GGUF file", valueName: "DIR|FILE"))
  var model: String
  @Option(
    help: ArgumentHelp("Hugging Face adapter directory or HDF5 checkpoint", valueName: "PATH"))
  var adapter: String
  @Option(help: ArgumentHelp("the new model directory", valueName: "DIR")) var outputDir: String
  @Option(
    help: ArgumentHelp(
      "f32, bf16 or f16, and of GGUF q8_0 (default: as the base is stored; of GGUF f16)",
      valueName: "TYPE"))
  var dtype: StoredType?
  @Option(help: "hf or gguf") var to: ExportCommand.Format = .hf

  func validate() throws {
    if dtype == .q8_0, to == .hf {
      throw ValidationError("--dtype q8_0 is a type of GGUF; add --to gguf.")
    }
  }

  func run() throws {
    // Before anything is computed: where the result cannot be written, that is said at once.
    let pending = try PendingDirectory(OutputPlace(directory: outputDir))
    let decoder = try Decoder(directory: model)
    for warning in decoder.warnings { Failure.write("warning: \(warning)") }
    let attached = try AttachedMethod(AdapterSource(path: adapter), decoder: decoder, seed: 0)
    if let reason = attached.method.mergeRefusal {
      throw PEFTError.cannotMerge(method: attached.method.name, reason: reason)
    }
    let check = try MergeCheck(base: decoder, compute: Compute(threads: 1))
    let difference: Double
    switch to {
    case .hf:
      let coarsest = try ModelDirectory.write(
        to: pending.partialPath, base: decoder, method: attached.method,
        elementType: dtype?.elementType)
      difference = try check.error(of: pending.partialPath, roundedTo: coarsest)
    case .gguf:
      let path = pending.partialPath + "/model.gguf"
      let type = (dtype ?? .f16).rawValue.uppercased()
      try GGUFModelFile.write(to: path, base: decoder, method: attached.method, type: type)
      difference = try check.error(ofGGUF: path, type: type)
    }
    try pending.publish()
    let share = String(format: "%.2g", difference)
    Failure.write(
      "merged model in \(outputDir); its logits differ from base plus adapter by \(share) of their norm"
    )
  }
}

/// Number types by the names of the command line.
enum StoredType: String, ExpressibleByArgument, CaseIterable {
  case f32
  case bf16
  case f16
  case q8_0

  /// The type of numbers stored one by one; nil for blocks.
  var elementType: ElementType? {
    switch self {
    case .f32: .float32
    case .bf16: .bfloat16
    case .f16: .float16
    case .q8_0: nil
    }
  }
}
