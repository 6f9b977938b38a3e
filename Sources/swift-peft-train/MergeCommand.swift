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
    abstract: "Fold an adapter into its base: a stand-alone Hugging Face model directory.")

  @Option(help: ArgumentHelp("Hugging Face model directory", valueName: "DIR")) var model: String
  @Option(
    help: ArgumentHelp("Hugging Face adapter directory or HDF5 checkpoint", valueName: "PATH"))
  var adapter: String
  @Option(help: ArgumentHelp("the new model directory", valueName: "DIR")) var outputDir: String
  @Option(
    help: ArgumentHelp("f32, bf16 or f16 (default: as the base is stored)", valueName: "TYPE"))
  var dtype: StoredType?

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
    let coarsest = try ModelDirectory.write(
      to: pending.partialPath, base: decoder, method: attached.method,
      elementType: dtype?.elementType)
    let difference = try check.error(of: pending.partialPath, roundedTo: coarsest)
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

  var elementType: ElementType {
    switch self {
    case .f32: .float32
    case .bf16: .bfloat16
    case .f16: .float16
    }
  }
}
