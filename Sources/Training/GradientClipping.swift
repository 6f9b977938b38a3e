import Kernels
import Tensors

/// The global norm of the gradient, and the factor that keeps it under a limit.
package enum GradientClipping {
  /// The Euclidean norm over every tensor that the optimiser moves, summed in double precision.
  package static func norm(_ arena: ParameterArena, on compute: Compute) -> Double {
    var sum = 0.0
    for slot in arena.slots where slot.role.isOptimized {
      sum += Reduction.sumOfSquares(arena.gradients(slot), on: compute)
    }
    return sum.squareRoot()
  }

  /// What gradients of this norm are multiplied by: `min(1, limit / (norm + 1e-6))`, as
  /// `torch.nn.utils.clip_grad_norm_` does; 1 when the limit is 0.
  package static func factor(norm: Double, limit: Double) -> Double {
    limit > 0 ? min(1, limit / (norm + 1e-6)) : 1
  }
}
