import Diagnostics
import JSON

/// A comparison's result: what was compared on what, the untrained base, and a row for each method.
public struct Comparison: Sendable {
  /// Base model directory.
  public var model: String
  /// Dataset file.
  public var data: String
  /// Processes.
  public var worldSize = 1
  /// Threads of each.
  public var threads = 1
  /// Optimiser steps of each run.
  public var totalSteps = 0
  /// Sequences in a step.
  public var globalBatchSize = 0
  /// Everything random follows from it.
  public var seed: UInt64 = 0
  /// Arithmetic of the base.
  public var precision = ""
  /// What the base is, for readers: family and parameters.
  public var base = ""
  /// The base's content.
  public var baseFingerprint = ""
  /// The dataset's content.
  public var datasetFingerprint = ""
  /// Loss of the untrained base on the validation split.
  public var baseLoss: Double?
  /// Score of the untrained base.
  public var baseScore: MethodFigures.Score?
  /// Whether each row's peak memory is that row's own; else it is the most up to there.
  public var peaksAreOwn = true
  /// A row for each method that was tried, in the order asked for.
  public var methods: [MethodFigures] = []

  /// The format of `compare.json`.
  public static let format = "swift-peft-comparison"

  /// A comparison without figures yet.
  public init(model: String, data: String) {
    self.model = model
    self.data = data
  }

  /// The methods that failed.
  public var failed: [MethodFigures] { methods.filter { $0.failure != nil } }

  /// The comparison as JSON.
  public var value: JSONValue {
    [
      "format": .string(Self.format), "version": 1, "model": .string(model), "data": .string(data),
      "world_size": .int(worldSize), "threads": .int(threads), "total_steps": .int(totalSteps),
      "global_batch_size": .int(globalBatchSize), "seed": .int(Int(seed)),
      "precision": .string(precision), "base_fingerprint": .string(baseFingerprint),
      "dataset_fingerprint": .string(datasetFingerprint),
      "base": [
        "description": .string(base), "eval_loss": baseLoss.map { .double($0) } ?? .null,
        "score": baseScore.map {
          [
            "correct": .int($0.correct), "questions": .int($0.count),
            "exact_match": .double($0.share),
          ]
        } ?? .null,
      ],
      "peak_memory_is_own": .bool(peaksAreOwn),
      "methods": .array(methods.map(\.value)),
    ]
  }
}

/// What can be wrong with a comparison as a whole.
public enum ComparisonError: ClassifiedError {
  /// Some methods failed; the others' figures are there.
  case methodsFailed([String], of: Int, first: String, path: String)

  /// The run failed, though not all of it.
  public var errorClass: ErrorClass { .failure }

  /// What, where, and how to mend.
  public var description: String {
    switch self {
    case .methodsFailed(let names, let count, let first, let path):
      "\(names.count) of \(count) methods failed (\(names.joined(separator: ", "))); the others are in "
        + "\(path). The first said: \(first) Mend it and run again with --resume, or leave it out "
        + "with --methods."
    }
  }
}
