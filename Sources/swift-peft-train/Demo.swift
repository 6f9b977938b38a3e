import DataParallel
import Diagnostics
import Foundation
import Generation
import JSON
import Logging
import Training

/// The base and the task that come with the program, and what a run without arguments shows.
enum Demo {
  /// Where the demo's files are.
  struct Location {
    /// Model directory of the base.
    let basePath: String
    /// Dataset of the task.
    var dataPath: String { basePath + "/demo.h5" }
  }

  /// What differs from the defaults of `train`: a tiny base wants a higher rate and larger batches.
  private static let ownSettings: KeyValuePairs<String, JSONValue> = [
    "num_epochs": 1, "eval_steps": 60, "global_batch_size": 16, "micro_batch_size": 8,
    "learning_rate": 3e-3,
    "r": 16, "lora_alpha": 32, "target_modules": "all-linear", "warmup_ratio": 0.05,
    "logging_steps": 10,
  ]

  /// What single methods need on a base of four narrow blocks, besides the rates that suit them.
  ///
  /// Answers are copied together from the letter, and attention in every block takes part in that.
  private static let methodSettings: KeyValuePairs<String, String> = [
    "lora": "r=16", "lora": "lora_alpha=32", "lora": "target_modules=all-linear",
    // On four narrow blocks the input must say much before the blocks follow it.
    "prompt-tuning": "num_virtual_tokens=128", "prompt-tuning": "learning_rate=0.5",
    "p-tuning": "num_virtual_tokens=128", "p-tuning": "encoder_reparameterization_type=MLP",
    "p-tuning": "learning_rate=5e-3", "prefix-tuning": "prefix_projection=true",
    "prefix-tuning": "encoder_hidden_size=256",
    "llama-adapter": "adapter_layers=4", "llama-adapter": "adapter_len=32",
  ]

  /// What a comparison on the demo adds to the defaults.
  static func comparisonSettings() throws(ConfigurationError) -> ComparisonSettings {
    var settings = ComparisonSettings()
    for key in ["global_batch_size", "micro_batch_size", "warmup_ratio"] {
      for (name, value) in ownSettings where name == key {
        try settings.shared.set(key, value: value, source: .commandLine)
      }
    }
    try settings.shared.set("num_epochs", value: 10, source: .commandLine)
    for (method, text) in methodSettings {
      try settings.set("\(method).\(text)", source: .commandLine, isSuggestion: true)
    }
    return settings
  }

  /// Finds the files: beside the program, so that it may be moved with them.
  ///
  /// - Throws: `DemoError.missing`.
  static func locate() throws(DemoError) -> Location {
    let program = (Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments[0]))
      .resolvingSymlinksInPath().deletingLastPathComponent()
    let places = [
      "swift-peft-train_swift-peft-train.resources/Demo", "Demo", "../share/swift-peft-train/Demo",
    ].map { program.appendingPathComponent($0).standardizedFileURL.path }
    for place in places where FileManager.default.fileExists(atPath: place + "/config.json") {
      return Location(basePath: place)
    }
    throw .missing(places: places)
  }

  /// What was given, and for the rest what suits the demo.
  static func settings(_ given: RunSettings) throws(ConfigurationError) -> RunSettings {
    var settings = RunSettings()
    let full = given["method"]?.string ?? "lora" != "lora" || given.isSet("adapter")
    for (key, value) in ownSettings where !full || RunOption.named(key)?.group == .run {
      try settings.set(key, value: value, source: .commandLine)
    }
    settings.merge(given)
    return settings
  }

  /// Trains on the demo, and shows the held-out examples before and after.
  ///
  /// - Returns: how the run ended.
  static func train(
    _ given: RunSettings, communicator: Communicator, logger: Logger, isDryRun: Bool = false,
    display: (any RunDisplay)? = nil
  ) throws -> RunOutcome.Status {
    let (configuration, location) = try communicator.together {
      (try RunConfiguration(settings(given)), try locate())
    }
    logger.notice("no --model and no --data: training on the demo that comes with the program")
    let run = try TrainingRun(
      configuration, model: location.basePath, data: location.dataPath,
      communicator: communicator, logger: logger, writes: !isDryRun)
    if isDryRun {
      try run.dryRun()
      return .completed
    }
    let exactMatch = try communicator.together {
      try ExactMatchEvaluation(
        run.dataset.split(.validation), endTokens: try EndTokens.of(run.decoder))
    }
    func score() throws -> ExactMatchEvaluation.Result {
      try exactMatch.run(
        run.decoder, compute: run.compute, communicator: communicator, withSample: true)
    }
    let before = try score()
    logger.info("before training: \(before.sentence)")
    run.display = display
    let outcome = try run.train()
    Console.shared.finish()
    if outcome.status == .stoppedOnRequest { return outcome.status }
    let after = try score()
    guard communicator.rank == 0 else { return outcome.status }
    print(
      """

      Held-out score before: \(before.sentence).
      Held-out score after:  \(after.sentence).
      """)
    try exactMatch.show(before: before, after: after, model: location.basePath)
    print(
      """
      adapter: \(outcome.adapterPath)
      metrics: \(outcome.metricsPath)
      """)
    return outcome.status
  }

}

/// What can be wrong with the demo itself.
enum DemoError: ClassifiedError {
  case missing(places: [String])

  var errorClass: ErrorClass { .input }

  var description: String {
    switch self {
    case .missing(let places):
      "The demo's files are not beside the program (looked in \(places.joined(separator: ", "))). Give "
        + "--model and --data, or keep the program together with its .resources folder."
    }
  }
}
