import Kernels
import Tensors
import Testing
import Training

@Suite("Gradient clipping") struct GradientClippingTests {
  /// torch 2.9.1: `clip_grad_norm_` of [3, 4] and [12] to 1 returns 13 and scales by 0.0769230723.
  @Test("Norm and factor are those of torch.nn.utils.clip_grad_norm_")
  func torchValues() {
    var plan = ParameterArenaPlan()
    let first = plan.declare("a", shape: [2])
    let second = plan.declare("b", shape: [1], role: .derived)
    let ignored = plan.declare("c", shape: [1], role: .computed)
    let arena = ParameterArena(plan)
    arena.gradients(first).assign([3, 4])
    arena.gradients(second).assign([12])
    arena.gradients(ignored).assign([100])
    let norm = GradientClipping.norm(arena, on: Compute(threads: 1))
    #expect(norm == 13)
    #expect(abs(GradientClipping.factor(norm: norm, limit: 1) - 0.07692307233810425) < 1e-8)
  }

  @Test("Small gradients and a limit of 0 are left alone")
  func untouched() {
    #expect(GradientClipping.factor(norm: 0.5, limit: 1) == 1)
    #expect(GradientClipping.factor(norm: 1e9, limit: 0) == 1)
  }
}
