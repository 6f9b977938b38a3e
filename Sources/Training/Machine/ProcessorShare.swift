import DataParallel
import Foundation
import Kernels

/// How many cores this rank may compute on, next to the other ranks of its node.
///
/// ```swift
/// let share = try ProcessorShare(communicator: communicator)
/// let compute = try share.compute(threads: nil, binds: true).compute
/// ```
package struct ProcessorShare: Sendable {
  /// Threads that a rank may have: more than any node has processors.
  package static let mostThreads = 1024

  /// Physical cores that the ranks of this node may use, all of them together.
  package let nodeCores: Int
  /// Ranks on this node.
  package let localSize: Int
  /// Threads for this rank when nobody says how many.
  package let threads: Int
  let cores: CoreShare
  /// Logical processors that each rank of the node is allowed.
  private let masks: [Set<Int>]
  /// Processors that the job could have on this node, were nothing bound; 0 where nobody says.
  private let jobProcessors: Int
  private let quota: Double

  /// Looks at what the ranks of each node are allowed, called by all ranks.
  ///
  /// A launcher may give each rank cores of its own or all ranks the same ones; a batch system or a
  /// container may limit both.
  package init(communicator: Communicator) throws(MPIError) {
    let node = communicator.processorName
    let list = ProcessorList.text(ProcessorLimits.allowedAtStart)
    var masks: [Set<Int>] = []
    var own = 0
    for (rank, text) in try communicator.allGather("\(node)\n\(list)").enumerated() {
      let parts = text.split(separator: "\n", maxSplits: 1)
      guard parts.count == 2, parts[0] == node else { continue }
      if rank == communicator.rank { own = masks.count }
      masks.append(ProcessorList.processors(parts[1]))
    }
    self.init(
      masks: masks, localRank: own, topology: ProcessorTopology(), quota: ProcessorLimits.quota(),
      // A process that no launcher started was bound by its user.
      jobProcessors: communicator.library == nil ? 0 : ProcessorLimits.processorsOfJob())
  }

  /// The share of the rank number `localRank` among ranks with `masks`.
  package init(
    masks: [Set<Int>], localRank: Int, topology: ProcessorTopology, quota: Double = .infinity,
    jobProcessors: Int = 0
  ) {
    self.masks = masks
    self.quota = quota
    self.jobProcessors = jobProcessors
    let union = masks.reduce(into: Set<Int>()) { $0.formUnion($1) }
    nodeCores = max(topology.cores(of: union).count, 1)
    localSize = masks.count
    cores = CoreShare.shares(masks: masks, topology: topology, quota: quota)[localRank]
    threads = cores.threads
  }

  /// The threads of this rank, started and bound to its cores.
  ///
  /// - Parameters:
  ///   - threads: how many; nil for this rank's share.
  ///   - instructionSet: the kernels that they run.
  ///   - binds: whether each may run on the rank's own cores only.
  /// - Returns: the threads, and whether they are bound.
  /// - Throws: `UnavailableInstructionSet` where the processor lacks it, `ConfigurationError` where
  ///   the system does not let this process start so many threads.
  package func compute(
    threads: Int?, instructionSet: InstructionSetChoice = .auto, binds: Bool
  ) throws -> (compute: Compute, isBound: Bool) {
    let count = threads ?? self.threads
    // A share of the cores is no more than what runs anyway.
    if count > nodeCores && !Compute.canStart(threads: count) {
      throw ConfigurationError.conflict(
        "The system does not let this process start \(count) threads",
        remedy: "Lower --threads, or raise the limit on processes (ulimit -u, or the container's)")
    }
    let compute = try Compute(threads: count, instructionSet: instructionSet.set)
    // A container with less time than processors is one of several that want the same ones.
    guard binds, !isLimited, let places = cores.places(threads: compute.threadCount) else {
      return (compute, false)
    }
    return (compute, compute.bindThreads(to: places))
  }

  /// The processors that this rank computes on.
  var processors: Set<Int> { Set(cores.cores.flatMap(\.self)) }

  /// The rank's own cores, as the log shows them.
  var coreList: String { ProcessorList.text(cores.cores.flatMap(\.self)) }

  private var union: Set<Int> { masks.reduce(into: []) { $0.formUnion($1) } }
  private var isLimited: Bool { quota < Double(union.count) }

  /// What is wrong with `threads` threads a rank on this node, as a sentence; nil when nothing is.
  ///
  /// - Parameter asked: threads that were asked for; nil where the default is taken.
  package func warning(threads asked: Int?) -> String? {
    let threads = asked ?? self.threads
    let remedy =
      "Start them with 'mpirun --bind-to none', 'mpirun --map-by slot:PE=N' for N cores each, or "
      + "'srun --cpus-per-task=N'."
    if localSize > 1 && union.count == 1 {
      return "all \(localSize) ranks of this node are bound to one core: they will take turns. "
        + remedy
    }
    if localSize > 1 && !cores.isExclusive && crowded < localSize && crowded > 0 {
      return "ranks of this node are bound to the same core while others have their own, so that "
        + "all wait for them. " + remedy
    }
    if isLimited && Double(localSize * threads) > max(quota, 1) {
      return "\(ranks(of: threads)) want more than the time of \(String(format: "%.1f", quota)) "
        + "processors that this container may use. Lower --threads or raise its limit."
    }
    if localSize * threads > union.count {
      return "\(ranks(of: threads)) share \(nodeCores) cores of this node. "
        + (union.count < jobProcessors ? remedy : "Lower --threads or the number of ranks.")
    }
    let own = cores.cores.reduce(0) { $0 + $1.count }
    if threads > own {
      return "\(threads) threads of this rank share the \(own) processors that it was bound to. "
        + remedy
    }
    if asked == nil && union.count * 2 <= jobProcessors {
      return
        "the ranks of this node are bound to \(union.count) of the \(jobProcessors) processors "
        + "that the job has: the others stay idle. " + remedy
    }
    return nil
  }

  /// Which part of their time `threads` threads a rank have a processor; 1 unless they are too many.
  package func processorTime(threads: Int) -> Double {
    min(1, min(quota, Double(union.count)) / Double(localSize * threads))
  }

  private func ranks(of threads: Int) -> String {
    "\(localSize) rank\(localSize == 1 ? "" : "s") of \(threads) thread\(threads == 1 ? "" : "s")"
  }

  /// Ranks whose processors are too few for those that share them.
  private var crowded: Int {
    Dictionary(grouping: masks) { $0 }.values.reduce(0) {
      $0 + ($1[0].count < $1.count ? $1.count : 0)
    }
  }
}
