import ArgumentParser
import DataParallel
import Kernels
import Model
import Training

/// A base and how it is run: the options of every command that runs a model.
struct BaseOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Hugging Face model directory, also as bitsandbytes quantised it, or GGUF file",
      valueName: "DIR|FILE"))
  var model: String
  @Option(
    help: ArgumentHelp(
      "in place of the tokenizer that the model brings", valueName: "DIR|FILE"))
  var tokenizer: String?
  @Option(help: ArgumentHelp("Keep the base's projections as nf4 or q8_0", valueName: "T"))
  var quantizeBase: BaseQuantization?
  @Option(help: ArgumentHelp("Arithmetic of the base: f32, bf16, auto", valueName: "P"))
  var precision: PrecisionChoice = .auto
  @Option(help: ArgumentHelp("Compute threads of a rank", valueName: "N")) var threads: Int?
  @Option(
    help: ArgumentHelp("Kernels: auto, scalar, avx2, avx512 or neon", valueName: "SET"))
  var instructionSet: InstructionSetChoice = .auto

  func validate() throws {
    if let threads, !(1...ProcessorShare.mostThreads).contains(threads) {
      throw ValidationError(
        "--threads is \(threads); give a number from 1 to \(ProcessorShare.mostThreads).")
    }
  }

  /// The threads of this rank.
  ///
  /// - Throws: on all ranks where any lacks the instruction set.
  func compute(_ share: ProcessorShare, _ communicator: Communicator) throws -> Compute {
    try communicator.together {
      try share.compute(threads: threads, instructionSet: instructionSet, binds: true).compute
    }
  }

  /// Reads both on all ranks, which must find the same, and runs `body` with the adapter attached.
  ///
  /// What should be known of the base goes to `warn`, on rank 0.
  ///
  /// - Parameter adapter: the adapter's directory or file, if there is one.
  func withModel(
    adapter: String?, _ communicator: Communicator, on compute: Compute,
    warn: (_ text: String) -> Void, _ body: (_ decoder: Decoder) throws -> Void
  ) throws {
    let decoder = try BaseModel.open(
      model, precision: precision, communicator: communicator, on: compute,
      quantization: quantizeBase)
    if communicator.rank == 0 { decoder.warnings.forEach(warn) }
    let attached = try communicator.together {
      try adapter.map { path in
        try AttachedMethod(AdapterSource(path: path), decoder: decoder, seed: 0)
      }
    }
    if let attached { try attached.agree(among: communicator) }
    try decoder.roundFrozenWeights(among: communicator, on: compute)
    try body(decoder)
  }
}

extension BaseQuantization: ExpressibleByArgument {}
extension PrecisionChoice: ExpressibleByArgument {}
extension InstructionSetChoice: ExpressibleByArgument {}
