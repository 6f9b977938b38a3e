import DataParallel
import Tensors

/// Jobs in which a rank fails.
enum Failures {
  /// A failure in set-up: all ranks hear of it at the next agreement.
  static func agreement(_ communicator: Communicator, failing: Set<Int>) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    let sum = try communicator.together { rank + 1 }
    try expect(sum, rank + 1, "what a common step returns")
    try communicator.together {
      // The agreement below must not depend on who comes first.
      if failing.contains(rank) {
        throw ProbeError(what: "base.safetensors is cut off on rank \(rank)", errorClass: .input)
      }
    }
    _ = try communicator.allReduce(Int64(1), .sum)
    if rank == 0 { print("nobody of \(size) failed") }
  }

  /// A failure in the middle of a step, while the others wait in a collective.
  static func inStep(_ communicator: Communicator, failing: Set<Int>) throws {
    if failing.contains(communicator.rank) {
      throw ProbeError(what: "the disk is full", errorClass: .output)
    }
    try communicator.barrier()
    if communicator.rank == 0 { print("nobody failed") }
  }

  static func configuration(_ communicator: Communicator, odd: [Int]) throws {
    let rate = odd.contains(communicator.rank) ? "1e-3" : "2e-4"
    try communicator.agreeOnConfiguration("model: demo\nlearning_rate: \(rate)\nseed: 42\n")
    if communicator.rank == 0 { print("one configuration") }
  }

  static func state(_ communicator: Communicator, odd: [Int]) throws {
    let hash: UInt64 = odd.contains(communicator.rank) ? 1 : 2
    try communicator.verifyIdentical("The adapter's values", hash: hash)
    if communicator.rank == 0 { print("one state") }
  }
}
