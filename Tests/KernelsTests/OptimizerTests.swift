import Kernels
import TestSupport
import Testing

@Suite("Optimizers") struct OptimizerTests {
  @Test("Three steps of AdamW follow torch.optim.AdamW")
  func adamW() {
    let compute = Compute(threads: 2)
    let values = TestMatrix(1, 7)
    values.view.assign([0.5, -1.25, 2, 1e-3, -3.75, 0, 0.125])
    let gradients = TestMatrix(1, 7)
    let (m, v) = (TestMatrix(1, 7), TestMatrix(1, 7))
    // torch 2.9.1: lr 0.02, betas (0.9, 0.98), eps 1e-8, weight_decay 0.1; gradients halved.
    let steps: [(gradient: [Float], expected: [Float])] = [
      (
        [0.1, -0.2, 3, 1e-6, 0.5, 0, -1e-4],
        [0.479000032, -1.22750008, 1.97600007, -0.018609846, -3.76250005, 0, 0.144746006]
      ),
      (
        [0.05, 0.3, -2, 2e-6, -0.25, 0, 7],
        [0.459344506, -1.22999001, 1.96915245, -0.0375812054, -3.76031733, 0, 0.129644871]
      ),
      (
        [-0.4, 0.1, 0.75, -1e-6, 0.125, 0.5, 0],
        [
          0.466785342, -1.23465157, 1.96039391, -0.0457909442, -3.75965261, -0.0126550505,
          0.11788056,
        ]
      ),
    ]
    for (index, step) in steps.enumerated() {
      gradients.view.assign(step.gradient)
      AdamW.update(
        values: values.view, gradients: gradients.view, firstMoment: m.view, secondMoment: v.view,
        learningRate: 0.02, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1,
        step: index + 1, gradientScale: 0.5, on: compute)
      #expect(
        firstDifference(values.view, step.expected.map(Double.init), allowed: 3e-7) == nil)
    }
  }

  @Test("SGD steps against the gradient and decays apart from it")
  func sgd() {
    let values = TestMatrix(1, 3)
    values.view.assign([1, -2, 0])
    let gradients = TestMatrix(1, 3)
    gradients.view.assign([4, 0, -8])
    SGD.update(
      values: values.view, gradients: gradients.view, learningRate: 0.5, weightDecay: 0.5,
      gradientScale: 0.25, on: Compute(threads: 1))
    #expect(values.view.elements == [0.25, -1.5, 1])
  }

  @Test("A rate of 0 changes no parameter")
  func zeroRate() {
    let random = SeededRandom(61)
    let (values, gradients) = (random.matrix(1, 50), random.matrix(1, 50))
    let (m, v) = (TestMatrix(1, 50), TestMatrix(1, 50))
    let before = values.bits
    AdamW.update(
      values: values.view, gradients: gradients.view, firstMoment: m.view, secondMoment: v.view,
      learningRate: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, step: 1,
      on: Compute(threads: 1))
    #expect(values.bits == before)
    #expect(m.view.elements.contains { $0 != 0 })
  }

  @Test("The parts into which parameters are cut do not show")
  func anyPartition() {
    let random = SeededRandom(62)
    let count = 40_000
    let (values, gradients) = (random.matrix(1, count), random.matrix(1, count))
    func updated(threads: Int, cuts: [Int]) -> [UInt32] {
      let p = TestMatrix(copying: values.view)
      let (m, v) = (TestMatrix(1, count), TestMatrix(1, count))
      for (start, end) in zip([0] + cuts, cuts + [count]) {
        let range = start..<end
        AdamW.update(
          values: p.view.columns(range), gradients: gradients.view.columns(range),
          firstMoment: m.view.columns(range), secondMoment: v.view.columns(range),
          learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: 1,
          on: Compute(threads: threads))
      }
      return p.bits
    }
    let expected = updated(threads: 1, cuts: [])
    #expect(updated(threads: 3, cuts: []) == expected)
    #expect(updated(threads: 2, cuts: [1, 777, 30_001]) == expected)
  }
}
