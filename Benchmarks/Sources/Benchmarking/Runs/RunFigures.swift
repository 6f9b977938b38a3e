import JSON

/// What one run of one program on a job came to.
package struct RunFigures: Sendable {
  /// Tokens of each timed step; padding is none.
  package let stepTokens: [Int]
  /// Seconds of each timed step.
  package let stepSeconds: [Double]
  /// Useful floating-point operations of each timed step as the program itself counts them; empty
  /// where it does not.
  package let stepOperations: [Double]
  /// The first step's loss, before anything was learnt.
  package let firstLoss: Double
  /// The largest process's peak of resident memory, the base's mapped pages among it.
  package let peakMemoryBytes: Int
  /// Parameters that train.
  package let trainableParameters: Int

  /// Tokens a second: the median of the timed steps.
  package var tokensPerSecond: Double {
    Sample(zip(stepTokens, stepSeconds).map { Double($0) / $1 }).median
  }

  /// Seconds of a step: the median.
  package var secondsPerStep: Double { Sample(stepSeconds).median }
}

/// What is run: a job by a method in a precision.
package struct Task: Sendable {
  /// The model's shape and the sequences.
  package let job: Job
  package let files: JobFiles
  /// A name of ``MethodChoice``.
  package let method: String
  package let precision: Precision
  /// What the base is quantised to as it is read, or a GGUF file in its place; nil for neither.
  package var base: String?

  package init(_ job: Job, files: JobFiles, method: String, precision: Precision) {
    self.job = job
    self.files = files
    self.method = method
    self.precision = precision
  }

  /// The columns that name it.
  var row: Section.Row {
    [
      "job": .string(job.name), "method": .string(method),
      "precision": .string(precision.rawValue),
    ]
  }

  /// In a few words.
  package var text: String {
    "job \(job.name), \(method), \(precision.rawValue)" + (base.map { ", \($0)" } ?? "")
  }
}

/// Steps of a run: the first ones warm caches and pages and are not timed.
package struct StepCounts: Sendable {
  /// Before those that are timed.
  package let warmUp: Int
  /// Timed ones.
  package let timed: Int

  package init(warmUp: Int, timed: Int) {
    self.warmUp = warmUp
    self.timed = timed
  }

  package var total: Int { warmUp + timed }
}
