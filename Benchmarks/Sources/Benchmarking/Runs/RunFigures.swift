import JSON

/// What one run of one program on a job came to.
public struct RunFigures: Sendable {
  /// Tokens of each timed step; padding is none.
  public let stepTokens: [Int]
  /// Seconds of each timed step.
  public let stepSeconds: [Double]
  /// Useful floating-point operations of each timed step as the program itself counts them; empty
  /// where it does not.
  public let stepOperations: [Double]
  /// The first step's loss, before anything was learnt.
  public let firstLoss: Double
  /// The largest process's peak of resident memory, the base's mapped pages among it.
  public let peakMemoryBytes: Int
  /// Parameters that train.
  public let trainableParameters: Int

  /// Tokens a second: the median of the timed steps.
  public var tokensPerSecond: Double {
    Sample(zip(stepTokens, stepSeconds).map { Double($0) / $1 }).median
  }

  /// Seconds of a step: the median.
  public var secondsPerStep: Double { Sample(stepSeconds).median }
}

/// What is run: a job by a method in a precision.
public struct Task: Sendable {
  /// The model's shape and the sequences.
  public let job: Job
  /// Its files.
  public let files: JobFiles
  /// A name of ``MethodChoice``.
  public let method: String
  /// The arithmetic.
  public let precision: Precision
  /// What the base is quantised to as it is read, or a GGUF file in its place; nil for neither.
  public var base: String?

  /// A task.
  public init(_ job: Job, files: JobFiles, method: String, precision: Precision) {
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
  public var text: String {
    "job \(job.name), \(method), \(precision.rawValue)" + (base.map { ", \($0)" } ?? "")
  }
}

/// Steps of a run: the first ones warm caches and pages and are not timed.
public struct StepCounts: Sendable {
  /// Before those that are timed.
  public let warmUp: Int
  /// Timed ones.
  public let timed: Int

  /// Counts.
  public init(warmUp: Int, timed: Int) {
    self.warmUp = warmUp
    self.timed = timed
  }

  /// All.
  public var total: Int { warmUp + timed }
}
