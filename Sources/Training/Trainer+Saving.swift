import Checkpointing
import Diagnostics
import Foundation
import JSON
import PEFT
import Tensors

extension Trainer {
  /// Evaluates the validation split, writes the line, and remembers whether it was the best.
  ///
  /// - Returns: false on all ranks where one was asked to stop before the end.
  func evaluateAndCompare(step: Int) throws -> Bool {
    guard let validation else { return true }
    RunProgress.enter(.evaluation, step: step)
    let clock = ContinuousClock()
    let start = clock.now
    let figures = try between(.evaluation) {
      try validation.run(
        run.decoder, batch: batch, examples: examples, compute: run.compute,
        isCutShort: { isTimeToStop })
    }
    guard let figures else { return false }
    let seconds = (clock.now - start) / .seconds(1)
    best.take(loss: figures.loss, step: step)
    let (loss, perplexity) = (figures.loss, figures.perplexity)
    run.logger.info(
      "step \(step)/\(learningRates.totalSteps)  eval loss \(String(format: "%.4f", loss))  perplexity \(String(format: "%.3f", perplexity))\(best.step == step ? "  (best)" : "")",
      metadata: ["event": "eval", "step": "\(step)", "eval_loss": "\(loss)"])
    try writeOnAllRanks([
      "event": "eval", "step": .int(step),
      "epoch": .double(run.schedule.epoch(afterStep: step)), "eval_loss": .double(loss),
      "eval_perplexity": .double(perplexity), "eval_accuracy": .double(figures.accuracy),
      "eval_tokens": .int(figures.tokens), "eval_examples": .int(figures.examples),
      "eval_seconds": .double(seconds),
    ])
    // The best step must still be there at the end, whatever the rotation removes.
    if run.configuration.loadsBestModelAtEnd && best.step == step { try save(step: step) }
    return true
  }

  /// Whether the evaluation loss has not fallen for as long as the configuration allows.
  var shouldStopEarly: Bool {
    let patience = run.configuration.earlyStoppingPatience
    return patience > 0 && best.staleEvaluations >= patience
  }

  /// Writes the whole state, so that a run resumed from it goes on to the last bit.
  func save(step: Int) throws {
    if lastSavedStep == step { return }
    lastSavedStep = step
    let start = ContinuousClock.now
    RunProgress.enter(.saving, step: step)
    // A checkpoint is worth what the base is worth that it was computed with.
    try between(.checkpoint) {
      try baseGuard.verify(step: step)
      try write(step: step)
    }
    health.didSave(step: step)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    savingSeconds += seconds
    run.clock?.add(saving: seconds)
  }

  private func write(step: Int) throws {
    try run.communicator.together {
      guard let output = run.output else { return }
      // What a checkpoint says was done must be in the metrics too when both are found again.
      try metrics?.synchronize()
      var configuration = run.resolved
      // A method that prunes says in its configuration what is left.
      let export = run.attached.method.export(baseName: run.basePath)
      configuration["adapter_config"] = export?.configuration
      var kept = best.stored.merging(health.stored) { $1 }
      kept["owes_evaluation"] = owesEvaluation ? true : nil
      kept["world_size"] = .int(run.communicator.worldSize)
      kept["export_notes"] = .array(export?.notes.map { .string($0) } ?? [])
      configuration["training_state"] = .object(kept)
      let metadata = CheckpointMetadata(
        step: step, epoch: run.schedule.epoch(afterStep: step),
        samplesSeen: run.schedule.samplesSeen(afterStep: step),
        method: run.attached.method.name, configuration: JSONValue.object(configuration).text(),
        baseFingerprint: run.decoder.fingerprint, datasetFingerprint: run.dataset.fingerprint)
      var storage: [Workspace] = []
      let contents = CheckpointContents(
        metadata: metadata, method: run.attached.method, arena: run.attached.arena,
        optimizer: run.optimizer, storage: &storage)
      let bestStep = run.configuration.loadsBestModelAtEnd ? best.step : nil
      let path = try withExtendedLifetime(storage) {
        try output.checkpoints.save(
          contents, keeping: run.configuration.saveTotalLimit,
          protecting: Set([bestStep, health.lastGood].compactMap(\.self)))
      }
      run.logger.info("saved \(path)")
    }
  }

  /// Saves the state of a run that was asked to stop, and writes the last line of this start.
  func stop(step: Int, duration: Duration) throws -> RunOutcome {
    try save(step: step)
    try writeEnd(.stoppedOnRequest, step: step, exportedStep: nil, duration: duration)
    run.logger.notice(
      "stopped on request after step \(step) of \(learningRates.totalSteps); run again with --resume"
    )
    return outcome(.stoppedOnRequest, step: step, exportedStep: step)
  }

  private func writeEnd(
    _ status: RunOutcome.Status, step: Int, exportedStep: Int?, duration: Duration
  ) throws {
    let (peakMemory, baseMemory) = try logSummary()
    try finishProfile()
    let ranks = try balance.figures(stepSeconds: throughput.whole.seconds, run.communicator)
    try writeOnAllRanks(
      [
        "event": "end", "status": .string(status.rawValue), "step": .int(step),
        "exported_step": exportedStep.map { .int($0) } ?? .null,
        "eval_loss": best.lastLoss.map { .double($0) } ?? .null,
        "seconds": .double(duration / .seconds(1)), "peak_memory_bytes": .int(peakMemory),
        "planned_memory_bytes": .int(memoryPlan.total),
        "base_node_bytes": baseMemory.map { .int($0) } ?? .null,
        "tokens_per_second": .double(throughput.whole.tokensPerSecond),
        "useful_flops_per_second": .double(throughput.whole.operationsPerSecond),
        "share_of_peak": .double(throughput.share(throughput.whole)),
        "peak_flops_per_second": .double(throughput.peak),
        "saving_seconds": .double(savingSeconds),
        "verifying_seconds": .double(baseGuard.seconds),
      ], and: ranks)
    try writeReport()
  }

  private func outcome(
    _ status: RunOutcome.Status, step: Int, exportedStep: Int
  ) -> RunOutcome {
    RunOutcome(
      status: status, step: step, evalLoss: best.lastLoss, exportedStep: exportedStep,
      stepSeconds: stepSeconds, adapterPath: run.outputPath + "/adapter",
      metricsPath: run.outputPath + "/metrics.jsonl")
  }

  /// Gives all ranks the adapter of an earlier step, from the checkpoint that rank 0 wrote.
  ///
  /// The moments stay those of the last step: nothing is trained after it.
  private func goBack(to step: Int) throws {
    let (communicator, arena, method) = (run.communicator, run.attached.arena, run.attached.method)
    let stored = try communicator.together { () throws -> StoredCheckpoint? in
      guard let output = run.output else { return nil }
      let checkpoint = try StoredCheckpoint(path: output.checkpoints.path(step: step))
      try checkpoint.restoreValues(arena)
      return checkpoint
    }
    try communicator.broadcast(arena.allValues, from: 0)
    let kept = try communicator.together { try stored?.methodState() ?? MethodState() }
    let state = try communicator.broadcast(kept)
    try communicator.together { try method.restore(state) }
    try self.state.verify("of step \(step), which is the best")
  }

  /// Writes the adapter (or model) of the best or the last step, and the last line.
  func finish(_ status: RunOutcome.Status, step: Int, duration: Duration) throws -> RunOutcome {
    try requireSoundEnd(step: step)
    var exportedStep = step
    if run.configuration.loadsBestModelAtEnd, let best = best.step, best != step {
      try goBack(to: best)
      exportedStep = best
    }
    let path = run.outputPath + "/adapter"
    RunProgress.enter(.publishing)
    try run.communicator.together {
      guard run.output != nil else { return }
      if let export = run.attached.method.export(baseName: run.basePath) {
        try publishDirectory(path, replacing: true) {
          try AdapterDirectory(path: $0).write(
            export, base: run.basePath,
            origin: AdapterOrigin(
              baseFingerprint: run.decoder.fingerprint,
              datasetFingerprint: run.dataset.fingerprint, data: run.resolved["data"]?.string,
              step: exportedStep),
            training: AdapterTraining(settings: run.resolved, step: exportedStep, best: best))
        }
      } else {
        try ModelDirectory.publish(path, base: run.decoder, method: run.attached.method)
      }
    }
    try writeEnd(status, step: step, exportedStep: exportedStep, duration: duration)
    run.logger.info(
      "\(status == .completed ? "finished" : "stopped early: eval_loss no longer falls") after step \(step); \(path) holds step \(exportedStep)"
    )
    return outcome(status, step: step, exportedStep: exportedStep)
  }
}
