import JSON

/// The best evaluation of a run so far, and what decides whether the run goes on.
package struct BestSoFar: Equatable {
  /// The step of the lowest evaluation loss; nil before the first.
  package private(set) var step: Int?
  /// The lowest evaluation loss.
  package private(set) var loss = Double.infinity
  /// Evaluations since then.
  package private(set) var staleEvaluations = 0
  /// The last evaluation's loss.
  package private(set) var lastLoss: Double?

  /// Nothing evaluated yet.
  package init() {}

  /// What a checkpoint kept of an earlier start.
  package init(stored: JSONValue?) {
    step = stored?["best_step"]?.int
    loss = stored?["best_eval_loss"]?.double ?? .infinity
    staleEvaluations = stored?["stale_evaluations"]?.int ?? 0
  }

  /// Takes the loss of an evaluation after `step`; an undefined one is never the best.
  package mutating func take(loss: Double, step: Int) {
    lastLoss = loss
    if loss < self.loss {
      (self.loss, self.step, staleEvaluations) = (loss, step, 0)
    } else {
      staleEvaluations += 1
    }
  }

  /// What a checkpoint keeps.
  package var stored: [String: JSONValue] {
    [
      "best_step": step.map { .int($0) } ?? .null,
      "best_eval_loss": loss.isFinite ? .double(loss) : .null,
      "stale_evaluations": .int(staleEvaluations),
    ]
  }
}
