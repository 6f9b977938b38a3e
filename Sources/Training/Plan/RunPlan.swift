import DataParallel
import Datasets
import Diagnostics
import Foundation
import Model
import PEFT
import Reporting

/// Memory, arithmetic, communication and time of a run, before it is submitted.
///
/// ```swift
/// let plan = try RunPlan(trainer, job: .init(ranks: 16, ranksPerNode: 4, network: network))
/// print(plan.text)
/// ```
///
/// Memory is what the run itself would reserve. Times follow from how long some of its micro-batches take
/// here, on as many threads as a rank will have, or from a speed that is given: then, and of a run that
/// is only planned, nothing large is allocated. Without either there are no times.
public struct RunPlan {
  /// Where the run is to be.
  public struct Job: Sendable {
    /// All ranks.
    public var ranks: Int
    /// Those of them that share a node.
    public var ranksPerNode: Int
    /// Between nodes.
    public var network: NetworkModel
    /// Useful operations a second of a rank there; nil takes what is measured here.
    public var operationsPerSecond: Double?
    /// Standard deviation of a micro-batch's time over its mean; nil takes what is measured here, or
    /// where nothing is measured ``usualSpread``.
    public var spread: Double?
    /// Memory of a node in bytes.
    public var nodeMemory: Int

    /// Spread of compute times on a quiet node.
    public static let usualSpread = 0.02

    /// Describes a job.
    public init(
      ranks: Int, ranksPerNode: Int, network: NetworkModel, operationsPerSecond: Double?,
      spread: Double? = nil, nodeMemory: Int
    ) {
      (self.ranks, self.ranksPerNode, self.network) = (ranks, ranksPerNode, network)
      (self.operationsPerSecond, self.spread) = (operationsPerSecond, spread)
      self.nodeMemory = nodeMemory
    }

    /// Nodes that it takes.
    public var nodes: Int { (ranks + ranksPerNode - 1) / ranksPerNode }
  }

  /// The job.
  public let job: Job
  /// The method.
  public let method: String
  /// What trains, and all there is.
  public let parameters: (trainable: Int, total: Int)
  /// Threads of a rank.
  public let threads: Int
  /// Optimiser steps.
  public let steps: Int
  /// Tokens of a mean step.
  public let tokensPerStep: Double
  /// Useful floating-point operations of a mean step, of all ranks together.
  public let operationsPerStep: Double
  /// Memory of a rank, by part.
  let memory: MemoryPlan
  /// Bytes that a rank hands to reductions in a step; 0 for one rank.
  public let reducedBytes: Int
  /// Bytes of a checkpoint.
  public let checkpointBytes: Int
  /// Whether there are times: without a speed, given or measured, they are all 0.
  public let isTimed: Bool
  /// Useful operations a second of a rank.
  public let operationsPerSecond: Double
  /// Standard deviation of a micro-batch's time over what its arithmetic says.
  public let spread: Double
  /// Processes that computed beside this one while it measured.
  public let neighbours: Int
  /// Bytes of the base that each process here has for itself, which the ranks of a node share.
  private let copiedBytes: Int
  /// Seconds of a mean step: the slowest rank's passes, what is done once a step, the allreduce.
  public let stepSeconds: (passes: Double, update: Double, communication: Double)
  /// What the passes would take if all ranks were busy all the time.
  public let balancedSeconds: Double
  /// Seconds of a mean step in which a rank waits for the slowest; 0 on one rank.
  public var waitingSeconds: Double { stepSeconds.passes - balancedSeconds }
  /// Times on other numbers of ranks, where they were asked for.
  public private(set) var scaling: [ScalingRow] = []
  private let ways: MemoryWays

  /// Bytes of a rank that no other rank of its node shares.
  public var ownBytes: Int { memory.own }
  /// Bytes that the ranks of a node share: the base, rounded weights, the program's own file and its
  /// libraries'.
  public var sharedBytes: Int {
    baseCopies * (memory.base + memory.rounded) + memory.libraries
  }
  /// Copies of the base on a node.
  public let baseCopies: Int
  /// Bytes that a node needs.
  public var nodeBytes: Int { sharedBytes + min(job.ranksPerNode, job.ranks) * ownBytes }
  /// What MPI itself takes in a rank, through shared memory and TCP (Open MPI and MPICH, measured).
  static let libraryBytes = 10 << 20
  /// Seconds of a mean step.
  public var secondsPerStep: Double {
    stepSeconds.passes + stepSeconds.update + stepSeconds.communication
  }
  /// Seconds of all steps.
  public var totalSeconds: Double { secondsPerStep * Double(steps) }
  /// The share of a step in which a rank computes useful things.
  public var efficiency: Double { secondsPerStep > 0 ? balancedSeconds / secondsPerStep : 0 }

  /// Measures, and plans.
  ///
  /// - Parameters:
  ///   - trainer: of one process, of a run that writes nothing.
  ///   - job: the ranks and nodes that are planned for.
  ///   - scales: whether other numbers of ranks, up to the job's, are planned too.
  ///   - willMeasure: called before passes are timed; returns how many processes compute beside this one.
  public init(
    _ trainer: Trainer, job: Job, scales: Bool = false, willMeasure: () -> Int = { 0 }
  ) throws {
    let run = trainer.run
    self.job = job
    method = run.attached.method.name
    parameters = run.attached.parameterCounts(run.decoder)
    threads = run.compute.threadCount
    steps = trainer.learningRates.totalSteps
    let arena = run.attached.arena
    let tensors = arena.slots.filter(\.role.isReduced)
    reducedBytes =
      job.ranks > 1 ? GradientReducer.byteCount(reducing: arena) + StepTotals.byteCount : 0
    // Values and two moments in f32.
    checkpointBytes =
      arena.slots.reduce(0) { $0 + $1.shape.reduce(1, *) } * 4 + run.optimizer.byteCount
    let measures = job.operationsPerSecond == nil && !run.isPlanned
    neighbours = measures ? willMeasure() : 0
    let measured = try measures ? trainer.measurePasses(seconds: 8) : nil
    isTimed = measured != nil || job.operationsPerSecond != nil
    let operationsPerSecond = job.operationsPerSecond ?? measured?.operationsPerSecond ?? 0
    let spread = job.spread ?? measured?.spread ?? Job.usualSpread
    (self.operationsPerSecond, self.spread) = (operationsPerSecond, spread)
    // Now that steps were computed, what the process takes is known best.
    var memory =
      run.isPlanned
      ? trainer.memoryPlan
      : MemoryPlan(
        run, workspaceBytes: trainer.memoryPlan.workspace, reducerBytes: trainer.reducerBytes,
        keptBytes: trainer.reducerBytes, threadBytes: run.compute.byteCount,
        answers: trainer.memoryPlan.answers)
    // Sums of gradients depend on how many micro-batches a rank is dealt.
    let reducerBytes = GradientReducer.byteCount(
      of: arena,
      microBatches: MicroBatchDealer(worldSize: job.ranks)
        .mostMicroBatches(of: run.schedule.mostMicroBatches))
    memory.training += reducerBytes - trainer.reducerBytes
    if job.ranks > 1 { memory.program += Self.libraryBytes }
    self.memory = memory
    copiedBytes = memory.rounded + (run.configuration.baseQuantization == nil ? 0 : memory.base)
    let local = min(job.ranks, job.ranksPerNode)
    baseCopies =
      run.configuration.baseCopies == .numa
      ? max(1, min(local, MemoryDomains().processors.count)) : 1
    ways = MemoryWays(
      own: memory.own, workspace: memory.workspace, recomputed: trainer.recomputedWorkspaceBytes,
      training: memory.training, trainsAll: run.attached.method is FullFineTuning, ranks: local,
      isQuantizable: run.isQuantizable)

    // Some steps, spread over the run.
    var simulation = StepSimulation(
      ranks: job.ranks, ranksPerNode: job.ranksPerNode, spread: spread)
    var (tokens, operations, slowest, count) = (0, 0.0, 0.0, 0.0)
    for step in stride(from: 1, through: max(steps, 1), by: max(1, steps / 64)) {
      let (costs, ofStep) = trainer.costs(step: step)
      tokens += ofStep
      operations += costs.reduce(0, +)
      slowest += simulation.slowest(costs)
      count += 1
    }
    tokensPerStep = Double(tokens) / count
    operationsPerStep = operations / count
    guard isTimed else {
      (balancedSeconds, stepSeconds) = (0, (0, 0, 0))
      return
    }
    let update = measured?.updateSeconds ?? Double(memory.training) * Self.updateSecondsPerByte
    let communication = AllreduceModel(
      ranks: job.ranks, ranksPerNode: job.ranksPerNode, network: job.network
    ).step(gradients: tensors.reduce(0) { $0 + $1.count }, tensors: tensors.count)
    balancedSeconds = operationsPerStep / Double(job.ranks) / operationsPerSecond
    // Times that are drawn may have a mean a little under what they vary around.
    let passes =
      job.ranks > 1
      ? max(slowest / count / operationsPerSecond, balancedSeconds) : balancedSeconds
    stepSeconds = (passes, update, communication)
    if scales { scaling = scalingRows(trainer, tensors: tensors) }
  }

  /// Of the adapter's values, gradients and moments, each of which an update reads or writes about twice.
  private static let updateSecondsPerByte = 2 / 8e9

  /// Why a rank of this run could not compute here, with the memory that is free now; nil where it could.
  public var shortageHere: MemoryShortage? {
    var room = MemoryRoom()
    room.countFreeMemory()
    return room.shortage(of: [
      MemoryPart("activations", memory.workspace),
      MemoryPart("adapter, optimiser and reduction", memory.training),
      MemoryPart("threads", memory.threads),
      MemoryPart("answers to sample prompts", memory.answers),
    ])
  }

  /// How many ranks of this run could compute here at the same time, with the memory that is free now.
  ///
  /// - Parameter most: how many are wanted.
  public func ranksThatFitHere(atMost most: Int) -> Int {
    var room = MemoryRoom()
    room.countFreeMemory()
    return (1...max(most, 1)).last {
      room.shortage(of: [MemoryPart("ranks", (memory.own + copiedBytes).saturating(times: $0))])
        == nil
    } ?? 1
  }

  /// What does not fit, and what would make it fit; empty where all is well.
  public var problems: [String] {
    guard nodeBytes > job.nodeMemory else { return [] }
    let ways = self.ways.list { own, ranks in sharedBytes + ranks * own <= job.nodeMemory }
    return [
      "A node needs \(Figure.bytes(nodeBytes)) and has \(Figure.bytes(job.nodeMemory)). What would fit: \(ways.joined(separator: "; "))."
    ]
  }
}
