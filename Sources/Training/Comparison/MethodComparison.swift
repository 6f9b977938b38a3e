import DataParallel
import Datasets
import Diagnostics
import Files
import Foundation
import Generation
import JSON
import Kernels
import Logging
import Model
import PEFT

/// Trains one method after the other on the same data with the same budget.
///
/// ```swift
/// let comparison = try MethodComparison(settings, model: model, data: data,
///   communicator: communicator, logger: logger).run()
/// print(ComparisonReport(comparison).table.plainText)
/// ```
///
/// Each method's run is a `TrainingRun` of its own, in a directory of its own. After each method the
/// tables are written, so that nothing that ends the job loses a finished row.
public final class MethodComparison {
  /// Where everything goes, known on all ranks.
  public let outputPath: String
  /// Shows where each run is while it runs.
  public var display: (any RunDisplay)?
  private var lock: DirectoryLock?  // on rank 0
  private let settings: ComparisonSettings
  private let communicator: Communicator
  private let logger: Logger
  private var comparison: Comparison
  private var earlier: [MethodFigures] = []
  private var isResuming: Bool { settings.shared.isSet("resume") }

  /// Checks the settings and finds the output directory.
  ///
  /// - Parameters:
  ///   - settings: what all methods share, and what each has of its own.
  ///   - model: base model directory.
  ///   - data: dataset file.
  ///   - communicator: the ranks that train.
  ///   - logger: where events go.
  /// - Throws: on all ranks, before anything is trained.
  public init(
    _ settings: ComparisonSettings, model: String, data: String, communicator: Communicator,
    logger: Logger
  ) throws {
    self.settings = settings
    self.communicator = communicator
    self.logger = logger
    comparison = Comparison(model: model, data: data)
    try communicator.together { try settings.check() }
    // Ranks that train other methods would wait for each other; a method's own settings are compared
    // by its run.
    var given = settings.shared.entries.mapValues { $0.value.text() }
    given["methods"] = settings.methods.joined(separator: ",")
    given["max_score_examples"] = "\(settings.maximumQuestions)"
    try communicator.agreeOnConfiguration(given)
    let output = settings.shared["output_dir"]?.string
    outputPath = try communicator.broadcast(
      OutputPlace.withoutSlashes(output ?? OutputDirectory.defaultPath(method: "compare")), from: 0)
    try takeOutput()
    try takeEarlierRows()
  }

  /// Everything: the untrained base, then each method.
  ///
  /// - Returns: the comparison, equal on all ranks but for what rank 0 alone writes.
  /// - Throws: where no further method could be trained; a method's own failure is in its row.
  public func run() throws -> Comparison {
    let hiddenSize = try measureBase()
    for (index, method) in settings.methods.enumerated() {
      try communicator.agreeToGoOn()
      let run = try communicator.together { try configuration(of: method, hiddenSize: hiddenSize) }
      logger.notice("\(method) (\(index + 1) of \(settings.methods.count))")
      comparison.methods.append(try figures(of: run))
      try write()
    }
    return comparison
  }

  /// The settings of one method's run, in its own directory.
  private func configuration(
    of method: String, hiddenSize: Int
  ) throws(ConfigurationError) -> RunConfiguration {
    let fields = try RunConfiguration(settings.settings(for: method, learningRate: 0))
      .methodFields(of: method)
    let rate = PEFTMethods.suggestedLearningRate(method, hiddenSize: hiddenSize, fields: fields)
    var run = try settings.settings(for: method, learningRate: rate ?? 0)
    let path = "\(outputPath)/\(method)"
    try run.set("output_dir", value: .string(path), source: .commandLine)
    if !run.isSet("logging_steps") {
      // Fifty points make a curve.
      let interval = max(1, comparison.totalSteps / 50)
      try run.set("logging_steps", value: .int(interval), source: .commandLine)
    }
    return try RunConfiguration(run)
  }

  /// Keys that say nothing of what a run computes; base and data are known by fingerprint.
  private static let withoutEffect = [
    "model", "data", "output_dir", "resume", "log_all_ranks", "threads", "instruction_set",
    "logging_steps", "save_steps", "save_total_limit", "time_limit", "stall_timeout",
    "allow_changed",
  ]

  /// The row of a method: of an earlier start where it is finished, else of a run.
  private func figures(of configuration: RunConfiguration) throws -> MethodFigures {
    var kept = configuration.given
    for key in Self.withoutEffect { kept[key] = nil }
    var row = MethodFigures(method: configuration.method, settings: kept)
    row.learningRate = configuration.learningRate
    if let finished = earlier.first(where: { $0.method == row.method && $0.settings == kept }) {
      logger.notice("\(row.method) is finished: taken from \(outputPath)/compare.json")
      return finished
    }
    do {
      try train(configuration, into: &row)
    } catch let stopped as StoppedOnRequest {
      throw stopped
    } catch {
      // An error of one rank would leave the others waiting for it: it ends the job.
      let isAgreed = (error as? MPIError)?.isThrownByAllRanks ?? (error is TrainingError)
      guard isAgreed || communicator.worldSize == 1 else { throw error }
      row.failure = (error as? any ClassifiedError)?.description ?? "\(error)"
      logger.error("\(row.method) failed: \(row.failure ?? "")")
    }
    return row
  }

  private func train(_ configuration: RunConfiguration, into row: inout MethodFigures) throws {
    let isOwn: Int32 = resetPeakMemory() ? 1 : 0
    let owned = try communicator.allReduce(isOwn, .minimum) == 1
    comparison.peaksAreOwn = comparison.peaksAreOwn && owned
    let run = try TrainingRun(
      configuration, model: comparison.model, data: comparison.data, communicator: communicator,
      logger: logger)
    run.display = display
    let outcome = try run.train()
    if outcome.status == .stoppedOnRequest { throw StoppedOnRequest() }
    row.peakMemoryBytes = Int(try communicator.allReduce(Int64(peakMemoryBytes()), .maximum))
    row.secondsPerStep = MethodFigures.median(ofSteps: outcome.stepSeconds)
    if let evaluation = try exactMatch(run.dataset.validation, run.decoder) {
      let result = try evaluation.run(
        run.decoder, compute: run.compute, communicator: communicator)
      row.score = MethodFigures.Score(correct: result.correct, count: result.count)
      logger.info("\(row.method): \(result.sentence)")
    }
    let metrics = try communicator.together {
      communicator.rank == 0
        ? try String(contentsOf: URL(fileURLWithPath: outcome.metricsPath), encoding: .utf8) : ""
    }
    row.read(
      metrics: try communicator.broadcast(metrics, from: 0), exportedStep: outcome.exportedStep)
    if communicator.worldSize == 1 {
      // One process reduces nothing; what it would hand over says what the method costs on more.
      row.allreduceBytes =
        GradientReducer.byteCount(reducing: run.attached.arena) + StepTotals.byteCount
    }
  }

  /// The exact-match evaluation on a split; nil where it has no prompts.
  private func exactMatch(
    _ split: TokenSplit?, _ decoder: Decoder
  ) throws -> ExactMatchEvaluation? {
    guard let split, settings.maximumQuestions > 0 else { return nil }
    let evaluation = try communicator.together {
      try ExactMatchEvaluation(
        split, endTokens: try EndTokens.of(decoder), limit: settings.maximumQuestions)
    }
    return evaluation.examples.isEmpty ? nil : evaluation
  }

  /// Loss and score of the base without an adapter, and what the runs have in common.
  ///
  /// - Returns: the base's hidden size.
  private func measureBase() throws -> Int {
    let configuration = try communicator.together {
      try RunConfiguration(settings.settings(for: settings.methods[0], learningRate: 0))
    }
    let share = try ProcessorShare(communicator: communicator)
    let compute = try communicator.together {
      try share.compute(
        threads: configuration.threads, instructionSet: configuration.instructionSet,
        binds: configuration.bindsThreads
      ).compute
    }
    let decoder = try BaseModel.open(
      comparison.model, precision: configuration.precision, communicator: communicator,
      on: compute, needsDigest: true, quantization: configuration.baseQuantization)
    for warning in decoder.warnings { logger.warning("\(warning)") }
    try decoder.roundFrozenWeights(among: communicator, on: compute)
    let limit = configuration.maxLength ?? decoder.configuration.maximumPositions
    let dataset = try communicator.together {
      try TokenDataset(
        path: comparison.data, modelVocabularySize: decoder.configuration.vocabularySize,
        maxLength: limit)
    }
    comparison.worldSize = communicator.worldSize
    comparison.threads = compute.threadCount
    comparison.globalBatchSize = configuration.globalBatchSize
    comparison.seed = configuration.seed
    comparison.precision = decoder.precisionName
    comparison.base =
      "\(decoder.configuration.modelType), \(grouped(decoder.parameterCount)) parameters"
    comparison.totalSteps =
      BatchSchedule(
        exampleCount: dataset.train.exampleCount, globalBatchSize: configuration.globalBatchSize,
        microBatchSize: configuration.microBatchSize, seed: configuration.seed,
        epochCount: configuration.epochCount, maxSteps: configuration.maxSteps
      ).totalSteps
    let fingerprints = (decoder.fingerprint, dataset.fingerprint)
    if fingerprints != (comparison.baseFingerprint, comparison.datasetFingerprint) {
      // Rows of another base or other data say nothing of these.
      earlier = []
    }
    (comparison.baseFingerprint, comparison.datasetFingerprint) = fingerprints
    if let split = dataset.validation {
      try measure(
        decoder, on: split, microBatchSize: configuration.microBatchSize, compute: compute)
    }
    return decoder.configuration.hiddenSize
  }

  private func measure(
    _ decoder: Decoder, on split: TokenSplit, microBatchSize: Int, compute: Compute
  ) throws {
    let tokens = split.maximumTokenCount(ofExamples: microBatchSize)
    try communicator.together {
      _ = try decoder.prepare(
        for: .inference, maximumTokens: tokens, maximumSequences: microBatchSize,
        maximumLength: split.maximumTokenCount(ofExamples: 1))
    }
    let figures = try Evaluation(
      split: split, microBatchSize: microBatchSize, communicator: communicator
    ).run(
      decoder, batch: decoder.makeBatch(maximumTokens: tokens, maximumSequences: microBatchSize),
      examples: ExampleBuffer(tokenCapacity: tokens, sequenceCapacity: microBatchSize),
      compute: compute)
    comparison.baseLoss = figures.loss.isFinite ? figures.loss : nil
    logger.info("the base alone: eval loss \(String(format: "%.4f", figures.loss))")
    guard let evaluation = try exactMatch(split, decoder) else { return }
    let result = try evaluation.run(decoder, compute: compute, communicator: communicator)
    comparison.baseScore = MethodFigures.Score(correct: result.correct, count: result.count)
    logger.info("the base alone: \(result.sentence)")
  }
}

extension MethodComparison {
  /// Makes and locks the directory on rank 0, before anything is trained.
  private func takeOutput() throws {
    try communicator.together {
      guard communicator.rank == 0 else { return }
      let place = try OutputPlace(directory: outputPath)
      try place.create()
      let names = ["compare.json", "compare.csv", "compare.html"] + settings.methods
      for name in names { try place.requireNoLink(name) }
      lock = try DirectoryLock(place)
      if lock == nil { throw TrainingError.outputLocked(path: outputPath) }
      PartialName.removeLeftovers(ofAllIn: place)
    }
  }

  /// Reads the rows of an earlier start on rank 0; all ranks take them over.
  private func takeEarlierRows() throws {
    let path = outputPath + "/compare.json"
    let text = try communicator.together { () throws -> String in
      guard communicator.rank == 0, FileManager.default.fileExists(atPath: path) else { return "" }
      guard isResuming else {
        throw TrainingError.outputInUse(path: outputPath, found: "compare.json")
      }
      return try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
    }
    let stored = try communicator.broadcast(text, from: 0)
    guard let value = try? JSONValue(parsing: Data(stored.utf8)) else { return }
    comparison.baseFingerprint = value["base_fingerprint"]?.string ?? ""
    comparison.datasetFingerprint = value["dataset_fingerprint"]?.string ?? ""
    earlier = (value["methods"]?.array ?? []).compactMap { MethodFigures($0) }
      .filter { $0.failure == nil }
    comparison.peaksAreOwn = value["peak_memory_is_own"]?.bool ?? true
  }

  /// Writes the tables as far as they are known, on rank 0.
  private func write() throws {
    try communicator.together {
      guard communicator.rank == 0 else { return }
      let report = ComparisonReport(comparison)
      for (name, text) in [
        ("compare.json", comparison.value.text(indentation: 2) + "\n"),
        ("compare.csv", report.table.csv), ("compare.html", report.html),
      ] {
        try PendingFile.write(text, to: "\(outputPath)/\(name)")
      }
    }
  }
}
