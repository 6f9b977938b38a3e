import CKernels
import Tensors

/// AdamW (Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019).
///
/// ```
/// p ← p (1 - lr·wd);  m ← m + (1 - β₁)(g - m);  v ← β₂ v + (1 - β₂) g²
/// p ← p - lr / (1 - β₁ᵏ) · m / (√v / √(1 - β₂ᵏ) + ε)
/// ```
///
/// Element by element in the order of `torch.optim.AdamW`, so that any partition of the parameters
/// gives the same bits.
public enum AdamW {
  /// Takes one step.
  ///
  /// - Parameters:
  ///   - values: the parameters; all four matrices have the same number of elements, end to end.
  ///   - gradients: their gradients, read only.
  ///   - firstMoment: m, zero before the first step.
  ///   - secondMoment: v, zero before the first step.
  ///   - learningRate: the rate of this step.
  ///   - beta1: decay of m, below 1.
  ///   - beta2: decay of v, below 1.
  ///   - epsilon: added to the denominator.
  ///   - weightDecay: decoupled: values lose rate × decay of themselves.
  ///   - step: k, counted from 1.
  ///   - gradientScale: what gradients are multiplied with first: 1 / tokens, times the clip's.
  ///   - compute: the threads that compute it.
  public static func update(
    values: MatrixView, gradients: MatrixView, firstMoment: MatrixView, secondMoment: MatrixView,
    learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double,
    step: Int, gradientScale: Double = 1, on compute: Compute
  ) {
    requireSameLength(values, gradients, "gradients")
    requireSameLength(values, firstMoment, "firstMoment")
    requireSameLength(values, secondMoment, "secondMoment")
    precondition(step >= 1, "step \(step); steps count from 1")
    let factors = ck_adamw(
      gradient_scale: Float(gradientScale), decay: Float(1 - learningRate * weightDecay),
      one_minus_beta1: Float(1 - beta1), beta2: Float(beta2), one_minus_beta2: Float(1 - beta2),
      root_of_correction2: Float((1 - PortableMath.pow(beta2, Double(step))).squareRoot()),
      epsilon: Float(epsilon),
      step_size: Float(learningRate / (1 - PortableMath.pow(beta1, Double(step)))))
    compute.forEachBlock(blockCount(values.count, elementStep)) { block, _ in
      let range = blockRange(block, elementStep, values.count)
      let start = range.lowerBound
      compute.kernels.pointee.optimizer.adamw(
        values.base + start, gradients.base + start, firstMoment.base + start,
        secondMoment.base + start, factors, Int64(range.count))
    }
  }
}

/// Plain stochastic gradient descent: `p ← p (1 - lr·wd) - lr·g`.
///
/// The decay is decoupled, as AdamW's is; without momentum that is the same as `torch.optim.SGD`'s.
public enum SGD {
  /// Takes one step.
  ///
  /// - Parameters:
  ///   - values: the parameters; both matrices have the same number of elements, end to end.
  ///   - gradients: their gradients, read only.
  ///   - learningRate: the rate of this step.
  ///   - weightDecay: decoupled: values lose rate × decay of themselves.
  ///   - gradientScale: what gradients are multiplied with first.
  ///   - compute: the threads that compute it.
  public static func update(
    values: MatrixView, gradients: MatrixView, learningRate: Double, weightDecay: Double,
    gradientScale: Double = 1, on compute: Compute
  ) {
    requireSameLength(values, gradients, "gradients")
    let decay = Float(1 - learningRate * weightDecay)
    compute.forEachBlock(blockCount(values.count, elementStep)) { block, _ in
      let range = blockRange(block, elementStep, values.count)
      let start = range.lowerBound
      compute.kernels.pointee.optimizer.sgd(
        values.base + start, gradients.base + start, Float(gradientScale), decay,
        Float(learningRate), Int64(range.count))
    }
  }
}

/// Elements of a block: four buffers of it fit into the second-level cache.
private let elementStep = 16 * 1024

private func requireSameLength(_ values: MatrixView, _ other: MatrixView, _ name: StaticString) {
  precondition(
    values.isContiguous && other.isContiguous && values.count == other.count,
    "values hold \(values.count) elements end to end, \(name) \(other.count)")
}
