import ArgumentParser
import DataParallel
import Kernels
import Model
import Training

/// A base and perhaps an adapter: the options of every command that runs a model.
struct ModelOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Hugging Face model directory", valueName: "DIR")) var model: String
  @Option(
    help: ArgumentHelp("Hugging Face adapter directory or HDF5 checkpoint", valueName: "PATH"))
  var adapter: String?
  @Option(help: ArgumentHelp("Arithmetic of the base: f32, bf16, auto", valueName: "P"))
  var precision: PrecisionChoice = .auto
  @Option(help: ArgumentHelp("Compute threads of a rank", valueName: "N")) var threads: Int?

  func validate() throws {
    if let threads, threads < 1 {
      throw ValidationError("--threads is \(threads); give 1 or more.")
    }
  }

  /// Reads both on all ranks and runs `body` with the adapter attached.
  ///
  /// What should be known of the base goes to `warn`, on rank 0.
  /// Hooks look into the adapter's arena without owning it; it lives as long as `body` runs.
  func withModel(
    _ communicator: Communicator, on compute: Compute, warn: (_ text: String) -> Void,
    _ body: (_ decoder: Decoder) throws -> Void
  ) throws {
    let decoder = try BaseModel.open(model, precision: precision, communicator: communicator)
    if communicator.rank == 0 { decoder.warnings.forEach(warn) }
    let attached = try communicator.together {
      try adapter.map { path in
        try AttachedMethod(AdapterSource(path: path), decoder: decoder, seed: 0)
      }
    }
    try decoder.roundFrozenWeights(among: communicator, on: compute)
    try withExtendedLifetime(attached) { try body(decoder) }
  }
}

extension PrecisionChoice: ExpressibleByArgument {}
