import Datasets
import Model

/// The figures of one step, over all ranks together.
package struct StepReport: Sendable {
  /// The step, from 1.
  package let step: Int
  /// Mean cross-entropy over the counted tokens, before the update, in nats; NaN where none counts.
  package var loss = Double.nan
  /// Norm of the gradient before clipping.
  package var gradientNorm = 0.0
  /// The rate that the update used.
  package var learningRate = 0.0
  /// Tokens of the global batch.
  package var tokens = 0
  /// Those that count in the loss.
  package var countedTokens = 0
  /// Floating-point operations that the mathematics of the step needs, all ranks together.
  package var operations = 0.0
  /// Bytes that this rank handed to reductions.
  package var reducedBytes = 0

  /// Whether any rank was asked to stop before the reduction of this step.
  package var isStopRequested = false
  /// Whether the step was given up on all ranks, because one was asked to stop: nothing has changed.
  package var isCutShort = false
  /// Whether the update was skipped, for a loss or gradient that is not finite.
  package var isSkipped = false

  /// Counts a global batch's tokens, which every rank knows from the dataset, and what they need.
  init(_ batch: GlobalBatch, of split: TokenSplit, arithmetic: DecoderArithmetic) {
    step = batch.step
    for example in batch.examples {
      let (length, counted) = (
        split.tokenCount(of: example), split.countedTokenCount(of: example)
      )
      tokens += length
      countedTokens += counted
      operations += arithmetic.operations(ofExample: example, in: split)
    }
  }
}

extension DecoderArithmetic {
  /// Floating-point operations that an example needs forward and backward.
  func operations(ofExample example: Int, in split: TokenSplit) -> Double {
    2
      * Double(
        multiplyAdds(
          length: split.tokenCount(of: example), targetCount: split.countedTokenCount(of: example)))
  }
}

/// How a run ended.
public struct RunOutcome: Sendable {
  /// Why it ended.
  public enum Status: String, Sendable {
    /// All steps were made.
    case completed
    /// The evaluation loss stopped falling.
    case stoppedEarly = "stopped_early"
    /// It was asked to stop, and goes on when it is resumed.
    case stoppedOnRequest = "stopped_on_request"
  }

  /// Why it ended.
  public let status: Status
  /// The last step.
  public let step: Int
  /// The last evaluation's loss, where there was one.
  public let evalLoss: Double?
  /// Step whose weights `adapter/` holds.
  public let exportedStep: Int
  /// Seconds of each step that this start made.
  public let stepSeconds: [Double]
  /// Where the adapter lies, or for `full` the model; a run that was asked to stop writes none.
  public let adapterPath: String
  /// Where the metrics lie.
  public let metricsPath: String
}
