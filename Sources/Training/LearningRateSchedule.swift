import Tensors

/// The learning rate of each update: transformers' schedules, to the last step.
///
/// ```swift
/// let schedule = LearningRateSchedule(
///   kind: .linear, peak: 2e-4, warmupSteps: 10, totalSteps: 100)
/// schedule.learningRate(step: 1)  // 0: the first update of a warm-up moves nothing
/// ```
///
/// The factor of update k is the one that transformers' lambda gives for k - 1
/// (`get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` and their kin).
public struct LearningRateSchedule: Sendable {
  /// How the rate moves after the warm-up.
  public enum Kind: String, Sendable, CaseIterable {
    /// Falls in a straight line; it would reach 0 one step after the last.
    case linear
    /// Falls along half a cosine.
    case cosine
    /// Stays, and has no warm-up.
    case constant
    /// Stays.
    case constantWithWarmup = "constant_with_warmup"
  }

  /// How the rate moves.
  public let kind: Kind
  /// The highest rate.
  public let peak: Double
  /// Steps of rising rate.
  public let warmupSteps: Int
  /// Steps of the whole run.
  public let totalSteps: Int

  /// A schedule for a run of `totalSteps`.
  public init(kind: Kind, peak: Double, warmupSteps: Int, totalSteps: Int) {
    self.kind = kind
    self.peak = peak
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
  }

  /// Warm-up steps of a run: the number where one is given, else the ratio's share, rounded up.
  public static func warmupSteps(number: Int, ratio: Double, totalSteps: Int) -> Int {
    number > 0 ? number : Int((Double(totalSteps) * ratio).rounded(.up))
  }

  /// What update `step`, counted from 1, multiplies the peak rate by.
  public func factor(step: Int) -> Double {
    precondition(step >= 1, "update \(step); they are counted from 1")
    let done = step - 1
    if kind != .constant && done < warmupSteps { return Double(done) / Double(max(1, warmupSteps)) }
    let decayLength = Double(max(1, totalSteps - warmupSteps))
    switch kind {
    case .constant, .constantWithWarmup: return 1
    case .linear: return max(0, Double(totalSteps - done) / decayLength)
    case .cosine:
      let progress = Double(done - warmupSteps) / decayLength
      return max(0, 0.5 * (1 + PortableMath.cos(Double.pi * progress)))
    }
  }

  /// The learning rate of update `step`, counted from 1.
  public func learningRate(step: Int) -> Double { peak * factor(step: step) }
}
