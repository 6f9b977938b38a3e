import DataParallel
import Datasets
import Foundation
import Model

/// Memory, arithmetic, communication and time of a run, before it is submitted.
///
/// ```swift
/// let plan = try RunPlan(trainer, job: .init(ranks: 16, ranksPerNode: 4, network: network))
/// print(plan.text)
/// ```
///
/// Memory is what the run itself reserves. Times follow from how long some of its micro-batches take
/// here, on as many threads as a rank will have.
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
    /// Memory of a node in bytes.
    public var nodeMemory: Int

    /// Describes a job.
    public init(
      ranks: Int, ranksPerNode: Int, network: NetworkModel, operationsPerSecond: Double?,
      nodeMemory: Int
    ) {
      (self.ranks, self.ranksPerNode, self.network) = (ranks, ranksPerNode, network)
      (self.operationsPerSecond, self.nodeMemory) = (operationsPerSecond, nodeMemory)
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
  /// Useful operations a second of a rank.
  public let operationsPerSecond: Double
  /// Seconds of a mean step: the slowest rank's passes, what is done once a step, the allreduce.
  public let stepSeconds: (passes: Double, update: Double, communication: Double)
  /// What the passes would take if all ranks were busy all the time.
  public let balancedSeconds: Double
  /// Bytes of activations if they are computed again in backward; nil where they are already.
  let recomputedBytes: Int?

  /// Bytes of a rank that no other rank of its node shares.
  public var ownBytes: Int { memory.total - sharedBytes }
  /// Bytes that the ranks of a node share: the base, rounded weights.
  public var sharedBytes: Int { memory.base + memory.rounded }
  /// Bytes that a node needs.
  public var nodeBytes: Int { sharedBytes + min(job.ranksPerNode, job.ranks) * ownBytes }
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
  /// - Parameter trainer: of one process, of a run that writes nothing.
  public init(_ trainer: Trainer, job: Job) throws {
    let run = trainer.run
    self.job = job
    method = run.attached.method.name
    parameters = run.attached.parameterCounts(run.decoder)
    threads = run.compute.threadCount
    steps = trainer.learningRates.totalSteps
    let arena = run.attached.arena
    // Sums of gradients depend on how many micro-batches a rank is dealt.
    let reducer = GradientReducer(
      arena: arena, communicator: run.communicator,
      microBatches: MicroBatchDealer(worldSize: job.ranks)
        .mostMicroBatches(of: run.schedule.mostMicroBatches))
    memory = MemoryPlan(
      run, workspaceBytes: trainer.memoryPlan.workspace, reducerBytes: reducer.byteCount)
    reducedBytes =
      job.ranks > 1 ? GradientReducer.byteCount(reducing: arena) + StepTotals.byteCount : 0
    // Values and two moments in f32.
    checkpointBytes =
      arena.slots.reduce(0) { $0 + $1.shape.reduce(1, *) } * 4 + run.optimizer.byteCount
    let measured = try trainer.measurePasses(seconds: 8)
    operationsPerSecond = job.operationsPerSecond ?? measured.operationsPerSecond
    recomputedBytes = trainer.recomputedWorkspaceBytes

    // Some steps, spread over the run, dealt as they will be.
    let dealer = MicroBatchDealer(worldSize: job.ranks, arithmetic: trainer.arithmetic)
    let sampled = stride(from: 1, through: max(steps, 1), by: max(1, steps / 64))
    var (tokens, operations, slowest, count) = (0, 0.0, 0.0, 0.0)
    for step in sampled {
      let batch = run.schedule.batch(step: step)
      let split = run.dataset.train
      var costs = [Double](repeating: 0, count: batch.microBatchCount)
      for index in costs.indices {
        for example in batch.microBatch(index) {
          tokens += split.tokenCount(of: example)
          costs[index] += trainer.arithmetic.operations(ofExample: example, in: split)
        }
      }
      operations += costs.reduce(0, +)
      // Ranks beyond the micro-batches have nothing to do.
      var most = 0.0
      for rank in 0..<min(job.ranks, batch.microBatchCount) {
        let load = dealer.microBatches(of: batch, from: split, rank: rank).map { costs[$0] }.reduce(
          0, +)
        most = max(most, load)
      }
      slowest += most
      count += 1
    }
    count = max(count, 1)
    tokensPerStep = Double(tokens) / count
    operationsPerStep = operations / count
    let nodes = job.nodes
    // Within the nodes first, then between them.
    let communication =
      NetworkModel.sharedMemory.allreduce(
        bytes: reducedBytes, ranks: min(job.ranks, job.ranksPerNode))
      + job.network.allreduce(bytes: reducedBytes, ranks: nodes)
    stepSeconds = (slowest / count / operationsPerSecond, measured.updateSeconds, communication)
    balancedSeconds = operationsPerStep / Double(job.ranks) / operationsPerSecond
  }

  /// What does not fit, and what would make it fit; empty where all is well.
  public var problems: [String] {
    guard nodeBytes > job.nodeMemory else { return [] }
    var ways: [String] = []
    func needs(_ own: Int, _ ranks: Int) -> Bool { sharedBytes + ranks * own <= job.nodeMemory }
    if let recomputedBytes {
      let own = ownBytes - memory.workspace + recomputedBytes
      if needs(own, min(job.ranksPerNode, job.ranks)) {
        ways.append(
          "--gradient-checkpointing (\(megabytes(own)) a rank in place of \(megabytes(ownBytes)))")
      }
    }
    if let ranks = (1..<max(job.ranksPerNode, 1)).last(where: { needs(ownBytes, $0) }) {
      ways.append("at most \(ranks) rank\(ranks == 1 ? "" : "s") a node, each of more threads")
    }
    if ways.isEmpty {
      ways.append(
        "a smaller --micro-batch-size (or --micro-batch-tokens) or --max-length, or a smaller base")
    }
    return [
      "A node needs \(megabytes(nodeBytes)) and has \(megabytes(job.nodeMemory)). What would fit: \(ways.joined(separator: "; "))."
    ]
  }
}

extension Trainer {
  /// How fast this process computes, from some of the run's own micro-batches.
  struct Measurement {
    var operationsPerSecond: Double
    /// Seconds of what each rank does once a step.
    var updateSeconds: Double
  }

  /// Takes micro-batches of the first steps for about so many seconds; nothing is kept.
  func measurePasses(seconds limit: Double) throws -> Measurement {
    let (arena, split, clock) = (run.attached.arena, run.dataset.train, ContinuousClock())
    let began = clock.now
    var rates: [Double] = []
    steps: for step in 1...max(learningRates.totalSteps, 1) {
      let globalBatch = run.schedule.batch(step: step)
      // It has room for a step.
      reducer.reset()
      for index in 0..<globalBatch.microBatchCount {
        let operations = globalBatch.microBatch(index).reduce(0.0) {
          $0 + arithmetic.operations(ofExample: $1, in: split)
        }
        let start = clock.now
        _ = try pass(microBatch: index, of: globalBatch)
        rates.append(operations / ((clock.now - start) / .seconds(1)))
        // The first ones fill caches and pages.
        if rates.count >= 4 && (clock.now - began) / .seconds(1) > limit { break steps }
      }
    }
    let warm = rates.dropFirst(rates.count > 3 ? 2 : 0).sorted()
    let start = clock.now
    _ = try reducer.finish(into: arena, scale: 1)
    run.optimizer.update(step: 1, learningRate: 0, gradientScale: 0, on: run.compute)
    let update = (clock.now - start) / .seconds(1)
    return Measurement(
      operationsPerSecond: warm.isEmpty ? 0 : warm[warm.count / 2], updateSeconds: update)
  }

  /// Bytes of activations if they were computed again in backward; nil where they are.
  var recomputedWorkspaceBytes: Int? {
    guard !run.configuration.recomputesActivations else { return nil }
    return try? run.decoder.prepare(
      for: .training(recomputesActivations: true), maximumTokens: batch.maximumTokens,
      maximumSequences: batch.maximumSequences, maximumLength: maximumLength
    ).byteCount
  }
}
