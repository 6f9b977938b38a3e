import Testing
import Training

@Suite("Learning rate schedules") struct LearningRateScheduleTests {
  /// A schedule and the factor of each update: transformers 5.23.0, `get_scheduler`.
  struct Case: Sendable, CustomTestStringConvertible {
    let kind: LearningRateSchedule.Kind
    let warmup: Int
    let factors: [Double]
    var testDescription: String { "\(kind.rawValue), warm-up \(warmup)" }
  }

  static let cases: [Case] = [
    Case(
      kind: .linear, warmup: 3,
      factors: [
        0, 0.3333333333333333, 0.6666666666666666, 1, 0.8571428571428571, 0.7142857142857143,
        0.5714285714285714, 0.42857142857142855, 0.2857142857142857, 0.14285714285714285,
      ]),
    Case(kind: .linear, warmup: 0, factors: [1, 0.75, 0.5, 0.25]),
    Case(
      kind: .cosine, warmup: 2,
      factors: [
        0, 0.5, 1, 0.9504844339512095, 0.8117449009293668, 0.6112604669781572,
        0.38873953302184283, 0.18825509907063326, 0.04951556604879048,
      ]),
    Case(kind: .constant, warmup: 3, factors: [1, 1, 1, 1, 1]),
    Case(kind: .constantWithWarmup, warmup: 4, factors: [0, 0.25, 0.5, 0.75, 1, 1]),
  ]

  @Test("Factors are those of transformers", arguments: cases)
  func factors(of known: Case) {
    let schedule = LearningRateSchedule(
      kind: known.kind, peak: 2, warmupSteps: known.warmup, totalSteps: known.factors.count)
    for (index, factor) in known.factors.enumerated() {
      #expect(abs(schedule.factor(step: index + 1) - factor) < 1e-15, "update \(index + 1)")
      #expect(schedule.learningRate(step: index + 1) == 2 * schedule.factor(step: index + 1))
    }
  }

  @Test("A warm-up ratio is rounded up, and a number of steps wins over it")
  func warmupSteps() {
    #expect(LearningRateSchedule.warmupSteps(number: 0, ratio: 0.1, totalSteps: 11) == 2)
    #expect(LearningRateSchedule.warmupSteps(number: 0, ratio: 0, totalSteps: 11) == 0)
    #expect(LearningRateSchedule.warmupSteps(number: 5, ratio: 0.1, totalSteps: 11) == 5)
  }
}
