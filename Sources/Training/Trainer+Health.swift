import DataParallel
import Datasets
import Foundation
import JSON

// Steps that do not come to an update: those that are given up because the run is to stop, and those
// whose numbers are not finite.

extension Trainer {
  /// Whether this rank knows that the run is to stop.
  var isTimeToStop: Bool {
    if run.communicator.isAskedToStop { return true }
    guard run.clock?.isTimeToStop() == true else { return false }
    run.communicator.askToStop()
    return true
  }

  /// Leaves a step without its update, on all ranks alike, and says why.
  ///
  /// - Parameters:
  ///   - own: the first of this rank's micro-batches with a number that is not finite.
  ///   - tensor: the first whose gradient is not finite on any rank.
  /// - Throws: on all ranks, `TrainingError.diverged` where too many updates were skipped in a row.
  func skip(
    _ report: inout StepReport, _ batch: GlobalBatch, _ own: Int?, tensor: String?
  ) throws {
    report.isSkipped = true
    report.gradientNorm = .nan
    health.skip()
    let communicator = run.communicator
    var firsts = [Int64](repeating: 0, count: communicator.worldSize)
    try communicator.allGather([own.map { Int64($0) } ?? .max], into: &firsts)
    let nodes = try communicator.allGather(communicator.processorName)
    let what =
      tensor.map { "the gradient of '\($0)'" }
      ?? (report.loss.isFinite ? "the gradient's norm" : "the loss")
    var (place, line) = ("", MetricsWriter.Line(dictionaryLiteral: ("event", "skip")))
    if let index = firsts.min(), index != .max, let rank = firsts.firstIndex(of: index) {
      let examples = batch.microBatch(Int(index))
      place =
        ": rank \(rank) of \(communicator.worldSize) on \(nodes[rank]), examples \(examples.map(String.init).joined(separator: ", ")) of 'train' (counted from 0)"
      line = [
        "event": "skip", "step": .int(report.step), "cause": .string(what), "rank": .int(rank),
        "examples": .array(examples.map { .int($0) }), "in_row": .int(health.skippedInRow),
      ]
    } else {
      line = [
        "event": "skip", "step": .int(report.step), "cause": .string(what),
        "in_row": .int(health.skippedInRow),
      ]
    }
    let cause = "\(what) is not finite in step \(report.step)\(place)"
    lastCause = cause
    run.logger.warning(
      "\(cause); its update is skipped (\(health.skippedInRow) in a row, \(run.configuration.maxSkippedSteps) at most)"
    )
    try writeOnAllRanks(line)
    guard health.skippedInRow > run.configuration.maxSkippedSteps else { return }
    throw divergence(
      step: report.step, why: "more in a row than --max-skipped-steps lets pass")
  }

  /// Says once that nothing is learnt any more: after a rate far too high all numbers may be finite, and so
  /// large that what they are divided by leaves no gradient.
  func warnOfVanishedGradient(step: Int) {
    guard health.vanishedInRow == 2 else { return }
    run.logger.warning(
      "the gradient is zero since step \(step - 1): nothing is learnt any more, most often after a rate that was too high. \(remedy)"
    )
  }

  /// Throws where the run ends in skipped updates and nothing shows that what it leaves is sound; on all
  /// ranks alike.
  func requireSoundEnd(step: Int) throws {
    guard health.skippedInRow > 0 else { return }
    if run.configuration.loadsBestModelAtEnd && best.step != nil { return }
    let isSound = best.lastLoss?.isFinite ?? (health.skippedInRow == 1)
    if !isSound { throw divergence(step: step, why: "and the run has no more of them") }
  }

  private func divergence(step: Int, why: String) -> TrainingError {
    .diverged(
      steps: (step - health.skippedInRow + 1)...step, why: why, cause: lastCause, remedy: remedy)
  }

  /// How to go on after a run that diverged.
  private var remedy: String {
    guard let good = health.lastGood else {
      return
        "No checkpoint is known to be from before the trouble: start anew with a lower --learning-rate or a longer --warmup-steps."
    }
    let path = OutputDirectory.checkpoints(of: run.outputPath).path(step: good)
    let rate = String(format: "%g", run.configuration.learningRate / 2)
    return
      "Go back to the last good checkpoint with a lower rate: the same command with --resume \(path) --learning-rate \(rate) --allow-changed learning_rate"
  }
}
