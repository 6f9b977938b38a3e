import Synchronization
import Tensors

/// Numbers that the ranks of a node take in turn, each by one of them.
///
/// ```swift
/// let counter = try SharedCounter(communicator)
/// for round in 1...rounds {
///   while let number = counter.next(round: round, below: count) { … }
///   try communicator.barrier()
/// }
/// ```
///
/// It is an atomic number in memory that the node shares: taking one waits for nobody, whatever the
/// others compute. (A counter behind MPI's one-sided operations may wait until the rank that has it
/// calls MPI again.) Ranks enter a round when all have left the one before.
@safe
package final class SharedCounter {
  private let bytes: SharedBytes

  /// Makes one; called by all ranks.
  ///
  /// - Throws: on all ranks where a node has no memory to share.
  package init(_ communicator: Communicator) throws(MPIError) {
    bytes = try communicator.allocateOnNode(byteCount: 64)
  }

  /// The next number of a round, from 0; nil where all below `limit` are taken.
  ///
  /// - Parameter round: from 1, and growing.
  /// - Parameter limit: how many numbers a round has, the same for all ranks.
  package func next(round: Int, below limit: Int) -> Int? {
    precondition(
      round > 0 && round < 1 << 32 && limit < 1 << 31, "round \(round), \(limit) numbers")
    // Round and count in one word: whoever comes first in a round starts it, and nobody must clear
    // the last one.
    // Unsafe: an atomic number lies in memory as the number does; the memory began as zeros.
    let word = unsafe bytes.base.assumingMemoryBound(to: Atomic<UInt64>.self)
    var current = unsafe word.pointee.load(ordering: .relaxed)
    while true {
      precondition(current >> 32 <= UInt64(round), "round \(round) is over")
      let taken = current >> 32 == UInt64(round) ? Int(current & 0xffff_ffff) : 0
      if taken >= limit { return nil }
      let (exchanged, original) = unsafe word.pointee.weakCompareExchange(
        expected: current, desired: UInt64(round) << 32 | UInt64(taken + 1), ordering: .relaxed)
      if exchanged { return taken }
      current = original
    }
  }
}
