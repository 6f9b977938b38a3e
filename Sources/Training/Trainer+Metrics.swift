import DataParallel
import Foundation
import JSON
import Kernels

extension Trainer {
  /// The first line of a start, and what memory it takes.
  func begin() throws {
    let workspaceBytes = memoryPlan.workspace
    let arenaBytes = run.attached.arena.byteCount + run.attached.method.byteCount
    run.logger.info(
      "memory     \(megabytes(memoryPlan.total)) planned for a rank; the base is \(megabytes(memoryPlan.base + memoryPlan.rounded)) of it, once a node"
    )
    run.logger.info(
      "peak       \(rate(throughput.peak)) of \(run.communicator.worldSize == 1 ? "this rank" : "all ranks") in plain \(run.decoder.precisionName) products"
    )
    run.logger.debug(
      "memory of a rank besides the mapped base: \(megabytes(workspaceBytes)) activations, \(megabytes(arenaBytes)) parameters and gradients, \(megabytes(run.optimizer.byteCount)) optimiser, \(megabytes(reducer.byteCount)) reduction"
    )
    let handed = GradientReducer.byteCount(reducing: run.attached.arena) + StepTotals.byteCount
    run.logger.debug(
      run.communicator.worldSize > 1
        ? "each rank hands \(grouped(handed)) bytes to reductions in a step"
        : "one rank reduces nothing; each of several would hand over \(grouped(handed)) bytes a step"
    )
    let counts = run.attached.parameterCounts(run.decoder)
    try writeOnAllRanks(
      [
        "event": "run", "world_size": .int(run.communicator.worldSize),
        "nodes": .int(run.communicator.nodeCount), "method": .string(run.attached.method.name),
        "trainable_parameters": .int(counts.trainable), "total_parameters": .int(counts.total),
        "total_steps": .int(learningRates.totalSteps),
        "resumed_from_step": .int(run.start.completedSteps),
        "seed": .int(Int(run.configuration.seed)),
        "precision": .string(run.decoder.precisionName), "threads": .int(run.compute.threadCount),
        "instruction_set": .string(run.compute.instructionSet.rawValue),
        "workspace_bytes": .int(workspaceBytes), "planned_memory_bytes": .int(memoryPlan.total),
        "peak_flops_per_second": .double(throughput.peak),
        "versions": [
          "swift-peft-train": .string(ProgramVersion.text),
          "mpi": run.communicator.library.map { .string($0) } ?? .null,
        ],
      ], and: startFacts)
  }

  /// What the report of a run says of its data and its method.
  private var startFacts: [String: JSONValue] {
    var facts: [String: JSONValue] = [
      "base": .string(run.basePath),
      "merges": .bool(run.attached.method.mergeRefusal == nil),
    ]
    for (name, split) in [
      ("train", Optional(run.dataset.train)), ("validation", run.dataset.validation),
    ] {
      guard let split else { continue }
      facts["\(name)_examples"] = .int(split.exampleCount)
      facts["\(name)_tokens"] = .int(split.tokenCount)
      facts["\(name)_counted_tokens"] = .int(split.countedTokenCount)
    }
    return facts
  }

  /// One step's line, in the metrics and in the log.
  func log(_ report: StepReport) throws {
    let recent = throughput.takeRecent()
    let share = throughput.share(recent)
    if report.countedTokens == 0 {
      run.logger.warning(
        "step \(report.step): no token of the global batch counts in the loss; nothing changes")
    } else {
      let epoch = String(format: "%.2f", run.schedule.epoch(afterStep: report.step))
      let loss = String(format: "%.4f", report.loss)
      let norm = String(format: "%.3g", report.gradientNorm)
      let rate = String(format: "%.3g", report.learningRate)
      run.logger.info(
        "step \(report.step)/\(learningRates.totalSteps)  epoch \(epoch)  loss \(loss)  grad norm \(norm)  lr \(rate)  \(Int(recent.tokensPerSecond)) tokens/s  \(percent(share)) of peak",
        metadata: [
          "event": "step", "step": "\(report.step)", "loss": "\(report.loss)",
          "grad_norm": "\(report.gradientNorm)", "learning_rate": "\(report.learningRate)",
          "tokens_per_second": "\(recent.tokensPerSecond)",
        ])
    }
    try writeOnAllRanks(
      [
        "event": "step", "step": .int(report.step),
        "epoch": .double(run.schedule.epoch(afterStep: report.step)), "loss": .double(report.loss),
        "grad_norm": .double(report.gradientNorm), "learning_rate": .double(report.learningRate),
        "tokens": .int(tokensSeen), "tokens_per_second": .double(recent.tokensPerSecond),
        "allreduce_bytes": .int(report.reducedBytes),
        "peak_memory_bytes": .int(peakMemoryBytes()),
        "useful_flops_per_second": .double(recent.operationsPerSecond),
        "share_of_peak": .double(share),
      ], and: run.attached.method.figures)
  }

  /// What the run took, against what the machine could and what was planned; called by all ranks.
  ///
  /// - Returns: the most memory that any rank had, and the base in the memory of a node, in bytes; the
  ///   latter is nil where the kernel does not tell.
  func logSummary() throws -> (peak: Int, base: Int?) {
    let peak = Int(try run.communicator.allReduce(Int64(peakMemoryBytes()), .maximum))
    throughput.raise(peak: try run.measurePeak())
    let (whole, plan) = (throughput.whole, memoryPlan)
    if whole.seconds > 0 {
      run.logger.info(
        "speed: \(Int(whole.tokensPerSecond)) tokens/s, \(rate(whole.operationsPerSecond)) of useful arithmetic, \(percent(throughput.share(whole))) of the peak of \(rate(throughput.peak))"
      )
    }
    run.logger.info(
      "memory: \(megabytes(peak)) at most in a rank, \(megabytes(plan.total)) planned (base \(megabytes(plan.base + plan.rounded)), once a node; activations \(megabytes(plan.workspace)); adapter, optimiser, reduction \(megabytes(plan.training)); threads \(megabytes(plan.threads));\(plan.answers > 0 ? " answers \(megabytes(plan.answers));" : "") program \(megabytes(plan.program + plan.libraries)))"
    )
    let base = try BaseMemory.ofNode(run.decoder, run.communicator)
    if let base {
      let (ranks, copies) = (run.communicator.localSize, run.sharers.copiesOnNode)
      run.logger.info(
        "base: \(megabytes(base)) of a node's memory, measured\(copies > 1 ? ": \(copies) copies for \(ranks) ranks" : ranks > 1 ? ": one copy for \(ranks) ranks" : "")"
      )
    }
    return (peak, base)
  }

  /// Writes a line on rank 0; where that fails, all ranks throw.
  func writeOnAllRanks(
    _ line: MetricsWriter.Line, and more: [String: JSONValue] = [:]
  ) throws {
    try run.communicator.together { try metrics?.write(line, and: more) }
  }
}

/// A share in whole percent.
func percent(_ share: Double) -> String { String(format: "%.0f %%", 100 * share) }
