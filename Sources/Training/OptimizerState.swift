import Kernels
import Tensors

/// The moments of AdamW, laid out as the parameter arena is; SGD has none.
///
/// It moves the arena's values by their gradients. It does not know where gradients come from, and
/// tensors that are computed rather than trained are not touched.
public final class OptimizerState {
  /// Update rule and its constants.
  public struct Rule: Sendable {
    /// Which rule.
    public var kind: OptimizerKind
    /// Decay of the gradient's average.
    public var beta1 = 0.9
    /// Decay of the squared gradient's average.
    public var beta2 = 0.999
    /// Added to the denominator.
    public var epsilon = 1e-8
    /// Decoupled weight decay.
    public var weightDecay = 0.0

    /// A rule with PyTorch's constants.
    public init(kind: OptimizerKind) { self.kind = kind }
  }

  /// The rule.
  public let rule: Rule
  private let arena: ParameterArena
  private let optimized: [ParameterSlot]
  private let rateFactors: [Double]
  private let firstMoments: FloatBuffer
  private let secondMoments: FloatBuffer

  /// Moments of zero for every tensor that `rule` moves.
  ///
  /// - Parameters:
  ///   - rule: which optimiser, with its constants.
  ///   - arena: the tensors that train, with their gradients.
  ///   - rateFactor: factor on the learning rate of a tensor (LoRA+).
  public init(
    rule: Rule, arena: ParameterArena, rateFactor: (ParameterSlot) -> Double = { _ in 1 }
  ) {
    self.rule = rule
    self.arena = arena
    optimized = arena.slots.filter(\.role.isOptimized)
    rateFactors = optimized.map(rateFactor)
    let count = rule.kind == .adamw ? arena.floatCount : 0
    firstMoments = FloatBuffer(count: count, isPlanned: arena.isPlanned)
    secondMoments = FloatBuffer(count: count, isPlanned: arena.isPlanned)
  }

  /// Bytes of both moments.
  public var byteCount: Int { (firstMoments.count + secondMoments.count) * 4 }

  /// All first moments as one row, gaps included; no columns for SGD.
  var allFirstMoments: MatrixView { firstMoments.all }
  /// All second moments, likewise.
  var allSecondMoments: MatrixView { secondMoments.all }

  /// The tensors with moments; none for SGD.
  public var slots: [ParameterSlot] { rule.kind == .adamw ? optimized : [] }

  /// The gradient's running average, in the tensor's shape.
  public func firstMoment(_ slot: ParameterSlot) -> MatrixView {
    firstMoments.view(offset: slot.offset, rows: slot.rows, columns: slot.columns)
  }

  /// The squared gradient's running average, in the tensor's shape.
  public func secondMoment(_ slot: ParameterSlot) -> MatrixView {
    secondMoments.view(offset: slot.offset, rows: slot.rows, columns: slot.columns)
  }

  /// Moves every trained tensor once.
  ///
  /// - Parameters:
  ///   - step: number of the update, from 1.
  ///   - learningRate: this update's rate, before a tensor's own factor.
  ///   - gradientScale: what gradients are multiplied by: the clipping factor.
  ///   - compute: the threads that compute it.
  public func update(step: Int, learningRate: Double, gradientScale: Double, on compute: Compute) {
    for (slot, factor) in zip(optimized, rateFactors) {
      let learningRate = learningRate * factor
      switch rule.kind {
      case .adamw:
        AdamW.update(
          values: arena.values(slot), gradients: arena.gradients(slot),
          firstMoment: firstMoment(slot), secondMoment: secondMoment(slot),
          learningRate: learningRate, beta1: rule.beta1, beta2: rule.beta2, epsilon: rule.epsilon,
          weightDecay: rule.weightDecay, step: step, gradientScale: gradientScale, on: compute)
      case .sgd:
        SGD.update(
          values: arena.values(slot), gradients: arena.gradients(slot),
          learningRate: learningRate, weightDecay: rule.weightDecay, gradientScale: gradientScale,
          on: compute)
      }
    }
  }
}
