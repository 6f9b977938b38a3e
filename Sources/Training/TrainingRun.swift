import Checkpointing
import DataParallel
import Datasets
import Diagnostics
import Files
import Foundation
import JSON
import Kernels
import Logging
import Model
import PEFT

/// A run up to the moment before its first step: everything opened, checked and agreed on.
///
/// ```swift
/// let settings = try RunSettings(["model": "SmolLM-135M", "data": "data.h5", "r": 16])
/// let run = try TrainingRun(settings, communicator: communicator, logger: logger)
/// let outcome = try run.train()
/// ```
///
/// Whatever is wrong on any rank is thrown by all ranks, before a step is made. It writes nothing
/// but the output directory's beginnings; `Trainer` does the work.
public final class TrainingRun {
  /// The settings.
  public let configuration: RunConfiguration
  /// All processes of the run.
  public let communicator: Communicator
  /// The base, with the method's hooks attached.
  public let decoder: Decoder
  /// The method and what it trains.
  public let attached: AttachedMethod
  /// What the method has to say of its start and its schedule, each a sentence.
  let notes: [String]
  /// Threads and kernels.
  public let compute: Compute
  /// The splits.
  public let dataset: TokenDataset
  /// Which examples each step takes.
  public let schedule: BatchSchedule
  /// The moments.
  public let optimizer: OptimizerState
  /// Directory of everything that is written, known on all ranks.
  public let outputPath: String
  /// Where this start begins: after the steps of an earlier one, where it resumes.
  let start: RunStart
  /// Where to say what happens.
  public let logger: Logger

  /// Shows where the run is while it runs.
  public var display: (any RunDisplay)?

  let output: OutputDirectory?  // on rank 0
  /// Prompts to answer now and then.
  let samples: SamplePrompts?
  var clock: RunClock?  // on rank 0, where there is a limit
  let resolved: [String: JSONValue]
  let basePath: String
  /// The cores of this rank.
  let processors: ProcessorShare
  /// The ranks with which this one shares its base.
  let sharers: BaseSharers
  /// The instruction set of each rank, by name.
  let instructionSets: [String]
  /// Bytes of weights that the ranks of a node rounded to bf16 together.
  let roundedBytes: Int
  /// What memory this node has at most.
  let room: MemoryRoom
  /// Whether it is only planned: it has sizes and no memory, and no step can be made.
  public var isPlanned: Bool { decoder.isPlanned }
  /// What the process held before it opened anything, in bytes.
  let memoryAtStart = residentMemoryBytes()

  /// Steps that an earlier start of this run has done.
  public var completedSteps: Int { start.completedSteps }

  /// Opens everything.
  ///
  /// - Parameters:
  ///   - configuration: the settings, resolved; all ranks must have the same.
  ///   - model: base model directory or GGUF file.
  ///   - data: dataset file.
  ///   - communicator: of all ranks.
  ///   - logger: where the run says what it does.
  ///   - writes: whether there is an output directory; without one nothing is kept.
  ///   - scansBase: whether every byte of the base is read and checked first.
  ///   - isPlanned: whether only sizes are wanted: nothing large is allocated, and nothing can be trained.
  /// - Throws: the error of the lowest rank that failed, on all ranks.
  public init(
    _ configuration: RunConfiguration, model: String, data: String, communicator: Communicator,
    logger: Logger, writes: Bool = true, scansBase: Bool = true, isPlanned: Bool = false
  ) throws {
    self.configuration = configuration
    self.communicator = communicator
    let room = try MemoryRoom(communicator)
    self.room = room
    self.logger = logger
    basePath = model
    try communicator.agreeOnConfiguration(configuration.shared.mapValues { $0.text() })
    try RankAgreement.program(communicator)
    let share = try ProcessorShare(communicator: communicator)
    processors = share
    try communicator.watch(timeout: configuration.stallSeconds)
    RunProgress.enter(.opening, step: 0)
    clock = try communicator.together {
      communicator.rank == 0
        ? try configuration.timeLimit.map {
          try RunClock($0, environment: ProcessInfo.processInfo.environment)
        } : nil
    }
    let isBound: Bool
    (compute, isBound) = try communicator.together {
      try share.compute(
        threads: configuration.threads, instructionSet: configuration.instructionSet,
        binds: configuration.bindsThreads)
    }
    instructionSets = try communicator.allGather(compute.instructionSet.rawValue)
    try communicator.warn(logger, share.warning(threads: configuration.threads))

    let files = try BaseFiles(
      model, configuration.baseDistribution, communicator,
      isQuantized: configuration.baseQuantization != nil)
    sharers = try BaseSharers(
      configuration.baseCopies, processors: share.processors, communicator)
    // Quantised projections are copies themselves.
    let map =
      try configuration.baseQuantization == nil && !isPlanned
      ? sharers.copy(files.map, of: model) : files.map
    let decoder = try BaseModel.open(
      model, precision: configuration.precision, communicator: communicator, on: compute,
      files: map, needsDigest: true, scans: scansBase,
      quantization: configuration.baseQuantization, sharers: sharers, arriving: files.arriving,
      isPlanned: isPlanned)
    self.decoder = decoder
    if let sentence = files.sentence { logger.info("\(sentence)") }
    try communicator.agreeToGoOn()
    attached = try communicator.together {
      try AttachedMethod(
        AdapterSource(configuration).tokenizingPrompt(model: configuration.tokenizer ?? model),
        decoder: decoder, seed: configuration.seed, room: room,
        momentCount: configuration.optimizer == .adamw ? 2 : 0)
    }
    roundedBytes = try decoder.roundFrozenWeights(among: sharers, on: compute)
    dataset = try communicator.together { try Self.dataset(data, configuration, decoder) }
    try RankAgreement.dataset(dataset, communicator)
    let (dataset, vocabularySize) = (self.dataset, decoder.configuration.vocabularySize)
    let tokenizerWarning = try communicator.together {
      try TokenizerAgreement.warning(
        dataset: dataset, modelDirectory: configuration.tokenizer ?? model,
        modelVocabularySize: vocabularySize)
    }
    if let tokenizerWarning { logger.warning("\(tokenizerWarning)") }
    schedule = configuration.schedule(of: dataset.train)
    let totalSteps = schedule.totalSteps
    let method = attached.method
    notes =
      try attached.notes
      + communicator.together { try method.prepareRun(totalSteps: totalSteps) }
    optimizer = OptimizerState(
      rule: configuration.rule, arena: attached.arena,
      rateFactor: method.learningRateFactor(of:))
    resolved = configuration.resolved(
      method: attached.method, hasValues: !isPlanned, precision: decoder.precisionName,
      model: model, data: data)
    // Files of settings, an adapter's for one, may be others on other nodes.
    var fields = resolved["adapter_config"]?.object ?? [:]
    // The base's path is no part of it: its bytes were compared.
    fields["base_model_name_or_path"] = nil
    try communicator.agreeOnConfiguration(fields.mapValues { $0.text() })
    try attached.agree(among: communicator)

    samples = try configuration.samplePrompts.map {
      try SamplePrompts(
        path: $0, decoder: decoder, tokenizer: configuration.tokenizer, communicator: communicator)
    }

    // Only rank 0 names and makes the directory; the others may not even see its file system.
    let isWriter = communicator.rank == 0 && writes
    let path =
      configuration.outputDirectory ?? OutputDirectory.defaultPath(method: attached.method.name)
    outputPath = try communicator.broadcast(OutputPlace.withoutSlashes(path), from: 0)
    output = try communicator.together {
      isWriter
        ? try OutputDirectory(path: path, mayContinue: configuration.resume != .no) : nil
    }
    try communicator.agreeToGoOn()
    start = try RunStart(
      configuration, outputPath: outputPath, communicator: communicator, logger: logger
    ) { [attached, dataset, optimizer, resolved] checkpoint in
      try checkpoint.checkResumption(
        decoder: decoder, method: attached.method, dataset: dataset, resolved: resolved,
        allowed: configuration.allowedChanges, logger: logger)
      try checkpoint.restore(
        method: attached.method, arena: attached.arena, optimizer: optimizer)
    }
    if writes { try setAside() }
    logOpening(processors: share, isBound: isBound)
  }

  /// Opens what the settings name.
  ///
  /// - Parameters:
  ///   - settings: `model` and `data` at least.
  ///   - communicator: the processes that train together, `Communicator(alone: ())` for one.
  ///   - logger: where to say what happens; it is called on every rank.
  /// - Throws: on all ranks, `ConfigurationError` where settings are missing or exclude each other, else
  ///   what opening throws.
  public convenience init(
    _ settings: RunSettings, communicator: Communicator, logger: Logger
  ) throws {
    let (configuration, model, data) = try communicator.together {
      func path(_ key: String) throws(ConfigurationError) -> String {
        guard let path = settings[key]?.string else {
          throw .conflict("No \(key) is given", remedy: "Set '\(key)'")
        }
        return path
      }
      return (try RunConfiguration(settings), try path("model"), try path("data"))
    }
    try self.init(
      configuration, model: model, data: data, communicator: communicator, logger: logger)
  }

  /// Does everything that a run does before its first step, and says so; with `writes` false nothing
  /// is written.
  ///
  /// - Throws: whatever would keep the run from its first step.
  public func dryRun() throws {
    let mayContinue = configuration.resume != .no
    try communicator.together {
      if communicator.rank == 0 {
        try OutputDirectory.check(path: outputPath, mayContinue: mayContinue)
      }
    }
    let trainer = try Trainer(self)
    let left = trainer.learningRates.totalSteps - completedSteps
    logger.notice(
      "dry run: \(left) step\(left == 1 ? "" : "s") would follow, in \(megabytes(trainer.memoryPlan.total)) a rank; nothing was written"
    )
  }

  /// Where the run goes on from an earlier checkpoint than its newest, takes those after it out of the
  /// way: else the next `--resume` would go on from what was left.
  private func setAside() throws {
    guard case .checkpoint = configuration.resume else { return }
    let later = try communicator.together { () throws -> [Int] in
      guard let output else { return [] }
      let directory = output.checkpoints
      guard try directory.steps().contains(start.completedSteps),
        start.path.map({ OutputPlace.isSame($0, directory.path(step: start.completedSteps)) })
          ?? false
      else { return [] }
      return try directory.supersede(after: start.completedSteps)
    }
    if let last = later.last {
      logger.warning(
        "\(later.count) checkpoint\(later.count == 1 ? "" : "s") up to step \(last) lie after the one to go on from: renamed to end in \(CheckpointDirectory.supersededSuffix)"
      )
    }
  }

  private static func dataset(
    _ path: String, _ configuration: RunConfiguration, _ decoder: Decoder
  ) throws -> TokenDataset {
    let room =
      decoder.configuration.maximumPositions - decoder.virtualTokenCount - decoder.positionOffset
    let dataset = try TokenDataset(
      path: path, modelVocabularySize: decoder.configuration.vocabularySize,
      maxLength: configuration.maxLength ?? max(room, 1))
    for split in [dataset.train, dataset.validation].compactMap(\.self) {
      try decoder.checkPositions(tokens: split.maximumTokenCount(ofExamples: 1))
    }
    return dataset
  }

  /// The learning rate of each update.
  public var learningRates: LearningRateSchedule {
    LearningRateSchedule(
      kind: configuration.schedule, peak: configuration.learningRate,
      warmupSteps: LearningRateSchedule.warmupSteps(
        number: configuration.warmupSteps, ratio: configuration.warmupRatio,
        totalSteps: schedule.totalSteps),
      totalSteps: schedule.totalSteps)
  }
}

extension RunConfiguration {
  /// The update rule with its constants.
  var rule: OptimizerState.Rule {
    var rule = OptimizerState.Rule(kind: optimizer)
    rule.beta1 = beta1
    rule.beta2 = beta2
    rule.epsilon = epsilon
    rule.weightDecay = weightDecay
    return rule
  }

  /// Everything that was set, by key.
  var given: [String: JSONValue] { settings.entries.mapValues(\.value) }

  /// What all ranks must have been given alike.
  var shared: [String: JSONValue] { given.filter { !RunOption.ofRank.contains($0.key) } }

  /// The settings with defaults and decisions filled in, as the checkpoint keeps them.
  ///
  /// Where the run writes, from where it goes on, and what is profiled is left out: a run from this
  /// configuration is a new one. Paths are absolute, so that it may start anywhere.
  ///
  /// - Parameter hasValues: whether the method's tensors are there, without which it exports nothing.
  func resolved(
    method: any PEFTMethod, hasValues: Bool, precision: String, model: String, data: String
  ) -> [String: JSONValue] {
    var values: [String: JSONValue] = [:]
    for option in RunOption.all {
      values[option.key] = settings[option.key]
    }
    func absolute(_ path: String) -> JSONValue {
      .string(URL(fileURLWithPath: path).standardizedFileURL.path)
    }
    values["output_dir"] = nil
    values["resume"] = nil
    values["profile"] = nil
    values["allow_changed"] = nil
    values["time_limit"] = nil
    if microBatchTokens != nil { values["micro_batch_size"] = nil }
    if self.model != nil { values["model"] = absolute(model) }
    if self.data != nil { values["data"] = absolute(data) }
    if let samplePrompts { values["sample_prompts"] = absolute(samplePrompts) }
    if let adapter { values["adapter"] = absolute(adapter) }
    if let peftConfiguration { values["peft_config"] = absolute(peftConfiguration) }
    values["method"] = .string(method.name)
    values["precision"] = .string(precision)
    values["adapter_config"] =
      hasValues ? method.export(baseName: model)?.configuration : nil
    return values
  }
}
