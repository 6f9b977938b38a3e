import ArgumentParser
import Model
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
    let decoder = try Decoder(directory: model)
    let attached = try AttachedMethod(AdapterSource(path: adapter), decoder: decoder, seed: 0)
    try withExtendedLifetime(attached) {
      try ModelDirectory.publish(
        outputDir, base: decoder, method: attached.method, elementType: dtype?.elementType)
    }
    Failure.write("merged model in \(outputDir)")
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
