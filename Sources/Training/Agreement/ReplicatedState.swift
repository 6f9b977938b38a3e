import DataParallel
import Diagnostics
import Hashing
import Kernels
import PEFT
import Tensors

/// What every rank keeps a copy of and changes alike: the adapter, its moments, and what the method
/// keeps besides.
///
/// ```swift
/// totals.stateHash = state.hash()  // travels in the step's reduction
/// if !totals.statesAgree { throw try state.difference("before the update of step 12") }
/// ```
///
/// Each rank makes the same update of the same reduced gradients with kernels that give the same
/// bits. That is a promise of the code; this finds where hardware, libraries or a mistake break it.
/// All of it is hashed in every step, at the speed of memory; which tensor differs is found out only
/// where something does. The frozen base is compared at the start (`BaseModel`).
final class ReplicatedState {
  private let digest: MemoryDigest
  private let tensors: [(name: String, values: MatrixView)]
  private let communicator: Communicator
  private let compute: Compute

  /// Looks at the state of a run; the views stay where they are.
  init(
    arena: ParameterArena, optimizer: OptimizerState, method: any PEFTMethod,
    communicator: Communicator, compute: Compute
  ) {
    self.communicator = communicator
    self.compute = compute
    let replicas = method.replicas
    digest = MemoryDigest(
      [arena.allValues, optimizer.allFirstMoments, optimizer.allSecondMoments]
        + replicas.map(\.values))
    tensors =
      arena.slots.map { ("adapter tensor '\($0.name)'", arena.values($0)) }
      + optimizer.slots.flatMap { slot in
        [
          ("first moment of '\(slot.name)'", optimizer.firstMoment(slot)),
          ("second moment of '\(slot.name)'", optimizer.secondMoment(slot)),
        ]
      } + replicas
  }

  /// Bytes that are hashed in a step.
  var byteCount: Int { digest.byteCount }

  /// The hash of all of it; allocates nothing.
  func hash() -> UInt64 { digest.value(on: compute) }

  /// Throws on all ranks where the states differ; called by all ranks.
  ///
  /// - Parameter moment: `after step 12`.
  func verify(_ moment: String) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    let hash = SharedFact("its hash", XXH64.text(hash()))
    if try communicator.firstDifference([hash]) != nil { throw try difference(moment) }
  }

  /// The error that names the ranks and the first tensor; called by all ranks, once states differ.
  func difference(_ moment: String) throws(MPIError) -> MPIError {
    let tensors = self.tensors
    var facts = compute.mapBlocks(tensors.count) { XXH64.hash(tensors[$0].values) }
      .enumerated().map { SharedFact(tensors[$0].name, "xxh64 \(XXH64.text($1))") }
    // Where no tensor differs any more, the hashes of the whole still tell the ranks apart.
    facts.append(SharedFact("the gaps between tensors", XXH64.text(hash())))
    guard let difference = try communicator.firstDifference(facts) else {
      return .call(
        function: "The comparison of states \(moment)", code: 0,
        message: "ranks differed for a moment and are equal again")
    }
    return .ranksDiffer(
      what: "the training state \(moment)", difference,
      remedy: """
        All ranks must hold the same bits: memory or a processor of these nodes may be faulty, or \
        they load different libraries. Checkpoints are compared before they are saved, so the last \
        one is sound: go on from it with --resume, without the node that is at fault.
        """,
      errorClass: .failure)
  }
}

extension AttachedMethod {
  /// Throws on all ranks where they do not hold the same adapter; called by all ranks.
  public func agree(among communicator: Communicator) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    let facts =
      arena.slots.map {
        SharedFact(
          "tensor '\($0.name)'",
          "\($0.shape) xxh64 \(XXH64.text(XXH64.hash(arena.values($0))))")
      }
      + method.replicas.map { SharedFact($0.name, XXH64.text(XXH64.hash($0.values))) }
    try communicator.agree(
      on: facts, of: "the adapter that they start from",
      remedy: isLoaded
        ? "Copy its files anew to all nodes."
        : "It follows from the seed, the base and, where it starts at a text, the tokenizer: load the same libraries and files on all nodes.",
      errorClass: isLoaded ? .input : .failure)
  }
}
