import DataParallel
import Datasets
import Kernels
import Logging
import Model
import Tensors

/// What ranks compare before they compute anything together.
///
/// The base is compared where it is opened (`BaseModel`), the adapter and all that changes in every
/// step (`ReplicatedState`).
public enum RankAgreement {
  /// Throws on all ranks where they do not run the same program; called by all ranks.
  ///
  /// A build is known by a hash of the program's file.
  public static func program(_ communicator: Communicator) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    let build = XXH64.hash(file: "/proc/self/exe")
    try communicator.agree(
      on: [
        SharedFact("version", ProgramVersion.text),
        SharedFact("build", build.map { "xxh64 \(XXH64.text($0))" } ?? "unknown"),
      ], of: "the program", remedy: "Install the same build on all nodes.", errorClass: .usage)
  }

  /// Throws on all ranks where some multiply bf16 numbers natively and others emulate it, and warns
  /// where processors differ otherwise; called by all ranks.
  ///
  /// In f32 results do not depend on the instruction set.
  public static func arithmetic(
    _ arithmetic: Arithmetic, compute: Compute, communicator: Communicator, logger: Logger
  ) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    if arithmetic == .bfloat16 {
      let kind = Compute.hasNativeBFloat16 ? "native products" : "emulated products"
      try communicator.agree(
        on: [SharedFact("how they are multiplied", kind)], of: "bf16 numbers",
        remedy: "Use --precision f32, or nodes with one kind of processor.", errorClass: .usage)
    }
    let kernels = SharedFact("instruction set", compute.instructionSet)
    if let difference = try communicator.firstDifference([kernels]) {
      logger.warning("processors differ in their \(difference.fact): \(difference.sentence)")
    }
  }

  /// Throws on all ranks where their datasets differ in any token, mask or offset; called by all
  /// ranks.
  public static func dataset(
    _ dataset: TokenDataset, _ communicator: Communicator
  ) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    try communicator.agree(
      on: dataset.digests.map { SharedFact("/\($0.name)", "xxh64 \(XXH64.text($0.hash))") },
      of: "the dataset \(dataset.path)",
      remedy: "Copy the file anew to where it differs, and compare it there with sha256sum.",
      errorClass: .input)
  }
}
