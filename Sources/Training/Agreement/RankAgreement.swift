import DataParallel
import Datasets
import Diagnostics
import Hashing

/// What ranks compare before they compute anything together.
///
/// The base and the definition of bf16 products are compared where the base is opened (`BaseModel`),
/// the adapter and all that changes in every step (`ReplicatedState`).
package enum RankAgreement {
  /// Throws on all ranks where they do not run the same program; called by all ranks.
  ///
  /// A build is known by a hash of the program's file.
  package static func program(_ communicator: Communicator) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    let build = XXH64.hash(file: "/proc/self/exe")
    try communicator.agree(
      on: [
        SharedFact("version", ProgramVersion.text),
        SharedFact("build", build.map { "xxh64 \(XXH64.text($0))" } ?? "unknown"),
      ], of: "the program", remedy: "Install the same build on all nodes.", errorClass: .usage)
  }

  /// Throws on all ranks where their datasets differ in any token, mask or offset; called by all
  /// ranks.
  package static func dataset(
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
