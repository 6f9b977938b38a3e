import DataParallel
import Diagnostics

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
    let isOdd = odd.contains(communicator.rank)
    // The odd ones have an option more, in front of the one that differs in value.
    var settings = ["model": "demo", "learning_rate": isOdd ? "1e-3" : "2e-4", "seed": "42"]
    if isOdd && odd.contains(0) { settings["adapter"] = "old" }
    try communicator.agreeOnConfiguration(settings)
    if communicator.rank == 0 { print("one configuration") }
  }

  static func facts(_ communicator: Communicator, odd: [Int]) throws {
    let value = odd.contains(communicator.rank) ? "1" : "2"
    try communicator.agree(
      on: [SharedFact("first", "same"), SharedFact("second", value)], of: "the model",
      remedy: "Copy it again.", errorClass: .input)
    if communicator.rank == 0 { print("one model") }
  }
}
