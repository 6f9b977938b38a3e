import Foundation
import JSON

/// One row of a comparison: what a method cost and what came of it.
public struct MethodFigures: Sendable, Hashable {
  /// A point of the training curve.
  public struct Point: Sendable, Hashable {
    /// The optimiser step.
    public let step: Int
    /// The loss before its update.
    public let loss: Double
  }

  /// The method.
  public let method: String
  /// Everything that its run was given, by key.
  public let settings: [String: JSONValue]
  /// Peak learning rate.
  public var learningRate = 0.0
  /// Parameters that train.
  public var trainableParameters: Int?
  /// Parameters of base and adapter together.
  public var totalParameters: Int?
  /// Optimiser steps made.
  public var steps: Int?
  /// Bytes that a rank hands to reductions in a step.
  public var allreduceBytes: Int?
  /// Median seconds of a step, the first ones left out.
  public var secondsPerStep: Double?
  /// Most memory of a rank while the method was trained.
  public var peakMemoryBytes: Int?
  /// Mean training loss of the last tenth of the run's logged steps.
  public var trainLoss: Double?
  /// Loss on the validation split at the end.
  public var evalLoss: Double?
  /// Exact answers, and questions asked; nil where the dataset asks none.
  public var score: Score?
  /// The training loss as it was logged.
  public var curve: [Point] = []
  /// Why there are no figures, as the error said it.
  public var failure: String?

  /// Exact answers of questions.
  public struct Score: Sendable, Hashable {
    /// Answers equal to their references.
    public let correct: Int
    /// Questions.
    public let count: Int

    /// The share of exact answers.
    public var share: Double { Double(correct) / Double(max(count, 1)) }
  }

  /// A row without figures yet.
  public init(method: String, settings: [String: JSONValue]) {
    self.method = method
    self.settings = settings
  }

  /// Takes over what a run wrote: its `metrics.jsonl`, line by line.
  ///
  /// - Parameter exportedStep: the step whose weights the run left: not the last one where the best
  ///   was asked for.
  mutating func read(metrics text: String, exportedStep: Int) {
    let history = RunHistory(metrics: text)
    trainableParameters = history.run["trainable_parameters"]?.int
    totalParameters = history.run["total_parameters"]?.int
    curve = history.steps.compactMap { step in
      step.value("loss").map { Point(step: step.number, loss: $0) }
    }
    allreduceBytes = history.steps.last?.value("allreduce_bytes").map { Int($0) }
    evalLoss = history.evaluations.first { $0.number == exportedStep }?.value("eval_loss")
    steps = history.end["step"]?.int
    let last = steps ?? curve.last?.step ?? 0
    let tail = curve.filter { 10 * $0.step > 9 * last }.map(\.loss)
    trainLoss = tail.isEmpty ? nil : tail.reduce(0, +) / Double(tail.count)
  }

  /// The median of a run's steps: half of them were faster.
  ///
  /// The first three are left out where there are more: caches and memory are cold in them.
  static func median(ofSteps seconds: [Double]) -> Double? {
    let sorted = seconds.dropFirst(seconds.count > 3 ? 3 : 0).sorted()
    guard let upper = sorted.indices.dropFirst(sorted.count / 2).first else { return nil }
    return sorted.count.isMultiple(of: 2) ? (sorted[upper - 1] + sorted[upper]) / 2 : sorted[upper]
  }
}

extension MethodFigures {
  /// The row as JSON.
  public var value: JSONValue {
    func number(_ value: Double?) -> JSONValue {
      value.flatMap { $0.isFinite ? .double($0) : nil } ?? .null
    }
    func integer(_ value: Int?) -> JSONValue { value.map { .int($0) } ?? .null }
    let share = trainableParameters.map { Double($0) / Double(max(totalParameters ?? 1, 1)) }
    return [
      "method": .string(method), "learning_rate": .double(learningRate),
      "trainable_parameters": integer(trainableParameters),
      "total_parameters": integer(totalParameters), "trainable_share": number(share),
      "steps": integer(steps), "allreduce_bytes": integer(allreduceBytes),
      "seconds_per_step": number(secondsPerStep), "peak_memory_bytes": integer(peakMemoryBytes),
      "train_loss": number(trainLoss), "eval_loss": number(evalLoss),
      "score": score.map {
        [
          "correct": .int($0.correct), "questions": .int($0.count),
          "exact_match": .double($0.share),
        ]
      } ?? .null,
      "curve": .array(curve.map { [.int($0.step), .double($0.loss)] }),
      "settings": .object(settings), "error": failure.map { .string($0) } ?? .null,
    ]
  }

  /// Reads a row back; nil where it is none.
  public init?(_ value: JSONValue) {
    guard let method = value["method"]?.string, let settings = value["settings"]?.object else {
      return nil
    }
    self.init(method: method, settings: settings)
    learningRate = value["learning_rate"]?.double ?? 0
    trainableParameters = value["trainable_parameters"]?.int
    totalParameters = value["total_parameters"]?.int
    steps = value["steps"]?.int
    allreduceBytes = value["allreduce_bytes"]?.int
    secondsPerStep = value["seconds_per_step"]?.double
    peakMemoryBytes = value["peak_memory_bytes"]?.int
    trainLoss = value["train_loss"]?.double
    evalLoss = value["eval_loss"]?.double
    if let correct = value["score"]?["correct"]?.int, let count = value["score"]?["questions"]?.int
    {
      score = Score(correct: correct, count: count)
    }
    curve = (value["curve"]?.array ?? []).compactMap { pair in
      guard let step = pair.array?.first?.int, let loss = pair.array?.last?.double else {
        return nil
      }
      return Point(step: step, loss: loss)
    }
    failure = value["error"]?.string
  }
}
