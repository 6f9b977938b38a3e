import DataParallel
import Datasets
import Foundation

extension Trainer {
  /// How fast this process computes, from some of the run's own micro-batches.
  struct Measurement {
    var operationsPerSecond: Double
    /// Standard deviation of a micro-batch's time over what its arithmetic says.
    var spread: Double
    /// Seconds of what each rank does once a step.
    var updateSeconds: Double
  }

  /// Takes micro-batches of the first steps for about so many seconds; nothing is kept.
  func measurePasses(seconds limit: Double) throws -> Measurement {
    let began = ContinuousClock.now
    var passes: [(operations: Double, seconds: Double)] = []
    try takePasses {
      passes.append($0)
      // The first ones fill caches and pages.
      return passes.count < 4 || (.now - began) / .seconds(1) <= limit
    }
    let warm = passes.dropFirst(passes.count > 3 ? 2 : 0)
    let seconds = warm.reduce(0) { $0 + $1.seconds }
    let rate = seconds > 0 ? warm.reduce(0) { $0 + $1.operations } / seconds : 0
    let factors = warm.filter { $0.operations > 0 }.map { $0.seconds * rate / $0.operations }
    let mean = factors.reduce(0, +) / Double(max(factors.count, 1))
    let variance = factors.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return Measurement(
      operationsPerSecond: rate,
      spread: factors.count > 1
        ? (variance / Double(factors.count - 1)).squareRoot() / mean : 0,
      updateSeconds: try updateSeconds())
  }

  /// Takes micro-batches of the first steps, again and again, and keeps nothing: for who measures beside
  /// this process.
  ///
  /// - Parameter isWanted: whether to go on, asked after each.
  public func keepComputing(while isWanted: () -> Bool) throws {
    var goesOn = true
    while goesOn {
      try takePasses { _ in
        goesOn = isWanted()
        return goesOn
      }
    }
  }

  /// Takes the micro-batches of the run, at most all, until `next` wants no more; nothing is kept.
  private func takePasses(
    _ next: (_ pass: (operations: Double, seconds: Double)) -> Bool
  ) throws {
    let split = run.dataset.train
    for step in 1...max(learningRates.totalSteps, 1) {
      let globalBatch = run.schedule.batch(step: step)
      // It has room for a step.
      reducer.reset()
      for index in 0..<globalBatch.microBatchCount {
        let operations = globalBatch.microBatch(index).reduce(0.0) {
          $0 + arithmetic.operations(ofExample: $1, in: split)
        }
        let start = ContinuousClock.now
        _ = try pass(microBatch: index, of: globalBatch)
        guard next((operations, (.now - start) / .seconds(1))) else { return }
      }
    }
  }

  /// What follows the passes of a step, without other ranks: the second time that it is done.
  ///
  /// Gradients of zero and a rate of zero leave everything as it is.
  private func updateSeconds() throws -> Double {
    var seconds = 0.0
    for _ in 1...2 {
      let start = ContinuousClock.now
      reducer.reset()
      run.attached.arena.clearGradients()
      reducer.accumulate(run.attached.arena)
      _ = state.hash()
      _ = try reducer.finish(into: run.attached.arena, scale: 1)
      _ = GradientClipping.norm(run.attached.arena, on: run.compute)
      run.optimizer.update(step: 1, learningRate: 0, gradientScale: 0, on: run.compute)
      seconds = (ContinuousClock.now - start) / .seconds(1)
    }
    return seconds
  }

  /// Useful operations of each micro-batch of a step, and the step's tokens.
  func costs(step: Int) -> (costs: [Double], tokens: Int) {
    let (batch, split) = (run.schedule.batch(step: step), run.dataset.train)
    var tokens = 0
    let costs = (0..<batch.microBatchCount).map { index in
      batch.microBatch(index).reduce(0.0) {
        tokens += split.tokenCount(of: $1)
        return $0 + arithmetic.operations(ofExample: $1, in: split)
      }
    }
    return (costs, tokens)
  }

  /// Bytes of activations if they were computed again in backward; nil where they are.
  var recomputedWorkspaceBytes: Int? {
    guard !run.configuration.recomputesActivations else { return nil }
    let batches = MicroBatchRoom(run.configuration, run.dataset)
    return try? run.workspacePlan(batches, recomputing: true).byteCount
  }
}
