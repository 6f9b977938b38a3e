import Foundation
import JSON
import PEFT
import Reporting
import Tensors

/// What a number of ranks would make of a run.
public struct ScalingRow: Sendable {
  /// A mean step.
  public struct Step: Sendable {
    /// Seconds of it.
    public let seconds: Double
    /// Seconds that the mean rank waits for the slowest.
    public let waiting: Double
    /// Seconds of the allreduce.
    public let communication: Double
    /// Time of one rank for the same micro-batches, shared out evenly, over this time.
    public let efficiency: Double
  }

  /// Ranks.
  public let ranks: Int
  /// As many micro-batches a rank as the job has.
  public let weak: Step
  /// As many micro-batches in all as the job has; nil where there are fewer of them than ranks.
  public let strong: Step?
}

extension RunPlan {
  /// Most numbers that steps of a row are made of.
  private static let mostDraws = 1 << 13

  /// Rows of 1, 2, 4 … ranks up to the job's.
  ///
  /// Micro-batches are drawn from those of the run's first steps, so that a dataset may be smaller than
  /// a step on many ranks.
  func scalingRows(_ trainer: Trainer, tensors: [ParameterSlot]) -> [ScalingRow] {
    var (population, sequences): ([Double], Int) = ([], 0)
    for step in 1...max(steps, 1) where population.count < 4_096 {
      let (costs, _) = trainer.costs(step: step)
      population += costs.map { $0 / operationsPerSecond }
      sequences += trainer.run.schedule.batch(step: step).examples.count
    }
    let all = max(
      1, trainer.run.configuration.globalBatchSize * population.count / max(sequences, 1))
    let ofRank = max(1, all / job.ranks)
    let numbers = tensors.reduce(0) { $0 + $1.count }
    let random = CounterRandom(seed: 1, purpose: "scaling")
    var draw: UInt64 = 0
    func step(_ ranks: Int, _ microBatches: Int) -> ScalingRow.Step {
      var simulation = StepSimulation(
        ranks: ranks, ranksPerNode: job.ranksPerNode, spread: ranks > 1 ? spread : 0)
      let count = max(2, min(32, Self.mostDraws / microBatches))
      var (slowest, mean) = (0.0, 0.0)
      for _ in 0..<count {
        let costs = (0..<microBatches).map { _ in
          draw += 1
          return population[Int(random.integer(draw, below: UInt64(population.count)))]
        }
        slowest += simulation.slowest(costs) / Double(count)
        mean += costs.reduce(0, +) / Double(count * ranks)
      }
      let communication = AllreduceModel(
        ranks: ranks, ranksPerNode: job.ranksPerNode, network: job.network
      ).step(gradients: numbers, tensors: tensors.count)
      let seconds = slowest + stepSeconds.update + communication
      return ScalingRow.Step(
        seconds: seconds, waiting: slowest - mean, communication: communication,
        efficiency: (mean + stepSeconds.update) / seconds)
    }
    var counts = Array(sequence(first: 1) { 2 * $0 < job.ranks ? 2 * $0 : nil })
    if job.ranks > 1 { counts.append(job.ranks) }
    return counts.map { ranks in
      ScalingRow(
        ranks: ranks, weak: step(ranks, ranks * ofRank),
        strong: ranks <= all ? step(ranks, all) : nil)
    }
  }

  /// The rows as a table.
  public var scalingText: String {
    var table = ReportTable(columns: [
      .init("ranks", "ranks", isNumeric: true),
      .init("weak", "step", isNumeric: true), .init("waiting", "waiting", isNumeric: true),
      .init("communication", "allreduce", isNumeric: true),
      .init("efficiency", "weak", isNumeric: true),
      .init("strongStep", "step", isNumeric: true), .init("strong", "strong", isNumeric: true),
    ])
    func percentage(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
    for row in scaling {
      table.append([
        .init("\(row.ranks)"), .init(Figure.duration(seconds: row.weak.seconds)),
        .init(Figure.duration(seconds: row.weak.waiting)),
        .init(Figure.duration(seconds: row.weak.communication)),
        .init(percentage(row.weak.efficiency)),
        row.strong.map { .init(Figure.duration(seconds: $0.seconds)) } ?? .none,
        row.strong.map { .init(percentage($0.efficiency)) } ?? .none,
      ])
    }
    return table.plainText
  }

  /// The rows for programs.
  var scalingValue: JSONValue {
    func value(_ step: ScalingRow.Step) -> JSONValue {
      [
        "seconds": .double(step.seconds), "seconds_of_waiting": .double(step.waiting),
        "seconds_of_communication": .double(step.communication),
        "efficiency": .double(step.efficiency),
      ]
    }
    return .array(
      scaling.map {
        [
          "ranks": .int($0.ranks), "weak": value($0.weak),
          "strong": $0.strong.map { value($0) } ?? .null,
        ]
      })
  }
}
