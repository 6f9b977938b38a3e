import Checkpointing
import DataParallel
import Datasets
import JSON
import Logging
import Model
import PEFT

/// Where a start of a run begins: at the beginning, or after a checkpoint.
struct RunStart {
  /// Steps that an earlier start has done.
  let completedSteps: Int
  /// The best evaluation of earlier starts.
  let best: BestSoFar
  /// What earlier starts learnt of how sound the run is.
  let health: RunHealth
  /// Whether the last start was stopped within the evaluation after its last step.
  let owesEvaluation: Bool
  /// The checkpoint to go on from; nil for a fresh start.
  let path: String?

  /// Finds the checkpoint that the configuration asks for on rank 0, and reads it on all ranks.
  ///
  /// - Parameter restore: checks and takes over the checkpoint's state.
  /// - Throws: on all ranks.
  init(
    _ configuration: RunConfiguration, outputPath: String, communicator: Communicator,
    logger: Logger, restore: (_ checkpoint: StoredCheckpoint) throws -> Void
  ) throws {
    guard
      let path = try Self.checkpoint(
        configuration.resume, outputPath: outputPath, communicator: communicator, logger: logger)
    else {
      (completedSteps, best, health, owesEvaluation) = (0, BestSoFar(), RunHealth(), false)
      self.path = nil
      return
    }
    self.path = path
    let checkpoint = try communicator.together {
      let checkpoint = try StoredCheckpoint(path: path)
      try restore(checkpoint)
      return checkpoint
    }
    completedSteps = checkpoint.reader.metadata.step
    let state = checkpoint.configuration["training_state"]
    best = BestSoFar(stored: state)
    health = RunHealth(stored: state, step: completedSteps)
    owesEvaluation = state?["owes_evaluation"]?.bool ?? false
    let before = state?["world_size"]?.int ?? communicator.worldSize
    let ranks =
      before == communicator.worldSize
      ? ""
      : ", on \(communicator.worldSize) rank\(communicator.worldSize == 1 ? "" : "s") in place of \(before): the results are the same"
    logger.notice("resuming from \(path) after step \(completedSteps)\(ranks)")
  }

  /// The checkpoint to go on from; nil where the run starts afresh.
  private static func checkpoint(
    _ choice: ResumeChoice, outputPath: String, communicator: Communicator, logger: Logger
  ) throws -> String? {
    switch choice {
    case .no: return nil
    case .checkpoint(let given): return given
    case .newest:
      let found = try communicator.together { () throws -> String in
        guard communicator.rank == 0 else { return "" }
        let search = try OutputDirectory.checkpoints(of: outputPath).newestSound()
        for damaged in search.damaged {
          logger.warning("passing over \(damaged.path): \(damaged.reason)")
        }
        return search.newest?.path ?? ""
      }
      let path = try communicator.broadcast(found, from: 0)
      if path.isEmpty { logger.notice("no checkpoint in \(outputPath): starting afresh") }
      return path.isEmpty ? nil : path
    }
  }
}

extension StoredCheckpoint {
  /// Refuses to go on from a checkpoint of another run, by what would change the result.
  ///
  /// - Parameters:
  ///   - resolved: the settings of this run.
  ///   - allowed: keys of settings that may differ.
  func checkResumption(
    decoder: Decoder, method: any PEFTMethod, dataset: TokenDataset,
    resolved: [String: JSONValue], allowed: Set<String>, logger: Logger
  ) throws(TrainingError) {
    let metadata = reader.metadata
    func check(
      _ what: String, _ stored: String, _ given: String, key: String? = nil
    ) throws(TrainingError) {
      if stored == given { return }
      guard let key, allowed.contains(key) else {
        throw .resumeMismatch(
          path: reader.path, what: what, stored: stored, given: given, key: key)
      }
      logger.warning("\(what) was \(stored) and is now \(given), as --allow-changed says")
    }
    try check("method", metadata.method, method.name)
    if BaseDigest.isSampled(metadata.baseFingerprint) {
      logger.warning(
        "\(reader.path) is of an earlier version, whose fingerprint of the base samples 1,024 words of each tensor: a base that differs elsewhere is not noticed"
      )
      try check(
        "the base (sampled fingerprint)", metadata.baseFingerprint, decoder.sampledFingerprint)
    } else {
      try check("the base (fingerprint)", metadata.baseFingerprint, decoder.fingerprint)
    }
    try check(
      "the dataset (fingerprint)", metadata.datasetFingerprint, dataset.fingerprint, key: "data")
    func text(_ value: JSONValue?) -> String { value?.text() ?? "unset" }
    let tokens = "micro_batch_tokens"
    let cutsOtherwise = text(configuration[tokens]) != text(resolved[tokens])
    for option in RunOption.all where option.group == .run {
      let (stored, given) = (configuration[option.key], resolved[option.key])
      // The dataset is known by its content, wherever it lies.
      if text(stored) == text(given) || option.key == "data" { continue }
      // One of the two is the change, and the other follows from it.
      if cutsOtherwise && option.key == "micro_batch_size" { continue }
      switch option.resumption {
      case .free: continue
      case .mustMatch: try check(option.key, text(stored), text(given))
      case .allowable: try check(option.key, text(stored), text(given), key: option.key)
      case .warns:
        logger.warning(
          "\(option.key) was \(text(stored)) and is now \(text(given)): the learning rate's course changes"
        )
      }
    }
    var informative: Set = ["base_model_name_or_path", "peft_version", "revision"]
    // AdaLoRA's own result, not what was asked for.
    if metadata.method == "adalora" { informative.insert("rank_pattern") }
    let stored = adapterConfiguration?.object ?? [:]
    let given = resolved["adapter_config"]?.object ?? [:]
    for key in Set(stored.keys).union(given.keys).subtracting(informative).sorted() {
      try check(key, text(stored[key]), text(given[key]))
    }
  }
}
