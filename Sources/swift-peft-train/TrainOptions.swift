import ArgumentParser
import DataParallel
import Training

/// The options of `train`, each named as its key in the table of `RunOption`.
///
/// Values are texts here: the table knows their kinds, and says so in one way for the command line
/// and for YAML. A test holds the two lists against each other. The fields of methods are not here:
/// the methods declare them. Help shows what everybody needs; `TrainHelp` has all.
struct TrainOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "YAML file of settings; the command line wins over it", valueName: "FILE"))
  var config: String?
  @Option(help: RunOption.argumentHelp("model")) var model: String?
  @Option(help: RunOption.argumentHelp("data")) var data: String?
  @Option(help: RunOption.argumentHelp("output_dir")) var outputDir: String?
  @Option(help: RunOption.argumentHelp("method")) var method: String?
  @Option(help: RunOption.argumentHelp("adapter")) var adapter: String?
  @Option(help: RunOption.argumentHelp("peft_config")) var peftConfig: String?
  @Option(help: RunOption.argumentHelp("resume")) var resume: String?
  @Option(help: RunOption.argumentHelp("global_batch_size")) var globalBatchSize: String?
  @Option(help: RunOption.argumentHelp("micro_batch_size")) var microBatchSize: String?
  @Option(help: RunOption.argumentHelp("micro_batch_tokens")) var microBatchTokens: String?
  @Option(help: RunOption.argumentHelp("max_length")) var maxLength: String?
  @Option(help: RunOption.argumentHelp("num_epochs")) var numEpochs: String?
  @Option(help: RunOption.argumentHelp("max_steps")) var maxSteps: String?
  @Option(help: RunOption.argumentHelp("optimizer")) var optimizer: String?
  @Option(help: RunOption.argumentHelp("learning_rate")) var learningRate: String?
  @Option(help: RunOption.argumentHelp("adam_beta1")) var adamBeta1: String?
  @Option(help: RunOption.argumentHelp("adam_beta2")) var adamBeta2: String?
  @Option(help: RunOption.argumentHelp("adam_epsilon")) var adamEpsilon: String?
  @Option(help: RunOption.argumentHelp("weight_decay")) var weightDecay: String?
  @Option(help: RunOption.argumentHelp("max_grad_norm")) var maxGradNorm: String?
  @Option(help: RunOption.argumentHelp("lr_scheduler_type")) var lrSchedulerType: String?
  @Option(help: RunOption.argumentHelp("warmup_steps")) var warmupSteps: String?
  @Option(help: RunOption.argumentHelp("warmup_ratio")) var warmupRatio: String?
  @Option(help: RunOption.argumentHelp("seed")) var seed: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("no_shuffle")) var shuffle: Bool?
  @Option(help: RunOption.argumentHelp("precision")) var precision: String?
  @Option(help: RunOption.argumentHelp("tokenizer")) var tokenizer: String?
  @Option(help: RunOption.argumentHelp("quantize_base")) var quantizeBase: String?
  @Option(help: RunOption.argumentHelp("threads")) var threads: String?
  @Option(help: RunOption.argumentHelp("instruction_set")) var instructionSet: String?
  @Option(help: RunOption.argumentHelp("bind_threads")) var bindThreads: String?
  @Option(help: RunOption.argumentHelp("mpi")) var mpi: String?
  @Option(help: RunOption.argumentHelp("base_distribution")) var baseDistribution: String?
  @Option(help: RunOption.argumentHelp("base_copies")) var baseCopies: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("gradient_checkpointing"))
  var gradientCheckpointing: Bool?
  @Option(help: RunOption.argumentHelp("logging_steps")) var loggingSteps: String?
  @Option(help: RunOption.argumentHelp("eval_steps")) var evalSteps: String?
  @Option(help: RunOption.argumentHelp("save_steps")) var saveSteps: String?
  @Option(help: RunOption.argumentHelp("save_total_limit")) var saveTotalLimit: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("load_best_model_at_end"))
  var loadBestModelAtEnd: Bool?
  @Option(help: RunOption.argumentHelp("early_stopping_patience"))
  var earlyStoppingPatience: String?
  @Option(help: RunOption.argumentHelp("time_limit")) var timeLimit: String?
  @Option(help: RunOption.argumentHelp("stall_timeout")) var stallTimeout: String?
  @Option(help: RunOption.argumentHelp("max_skipped_steps")) var maxSkippedSteps: String?
  @Option(help: RunOption.argumentHelp("allow_changed")) var allowChanged: String?
  @Option(help: RunOption.argumentHelp("sample_prompts")) var samplePrompts: String?
  @Option(help: RunOption.argumentHelp("profile")) var profile: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("quiet")) var quiet: Bool?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("verbose")) var verbose: Bool?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("log_json")) var logJson: Bool?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("log_all_ranks"))
  var logAllRanks: Bool?

  /// Fields of the method, `KEY=VALUE` each: what `CommandLineText` makes of `--r 16`.
  @Option(parsing: .singleValue, help: .private) var methodField: [String] = []

  /// Everything that was given, the YAML file first.
  func settings() throws(ConfigurationError) -> RunSettings {
    var settings = RunSettings()
    if let config { settings = try RunSettings(yamlFile: config) }
    settings.merge(try given())
    return settings
  }

  /// How a run with these options logs; settings that cannot be read are reported later.
  var logStyle: LogStyle {
    var settings = RunSettings()
    if let config, let file = try? RunSettings(yamlFile: config) { settings = file }
    if let given = try? given() { settings.merge(given) }
    return LogStyle(settings)
  }

  /// Which MPI library to load; settings that cannot be read are told of once the ranks can speak.
  var mpiChoice: MPIChoice {
    var value = (try? given())?.entries["mpi"]?.value
    if value == nil { value = (try? settings())?.entries["mpi"]?.value }
    return value?.string.flatMap(MPIChoice.init) ?? .auto
  }

  /// What was given on the command line.
  func given() throws(ConfigurationError) -> RunSettings {
    var settings = RunSettings()
    try settings.take(from: self)
    for text in methodField {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let key = String(parts[0])
      guard parts.count == 2 else {
        throw .wrongType(
          key: key, found: "without a value", expected: RunOption.named(key)?.expectation ?? "",
          source: .commandLine)
      }
      try settings.set(key, text: String(parts[1]), source: .commandLine)
    }
    return settings
  }
}

extension RunOption {
  /// What `--help` says of an option.
  static func argumentHelp(_ key: String) -> ArgumentHelp {
    guard let option = named(key) else {
      preconditionFailure("the table of options has no '\(key)'")
    }
    return ArgumentHelp(
      "\(option.helpWithDefault)", valueName: option.valueName.isEmpty ? nil : option.valueName,
      visibility: option.isCommon ? .default : .hidden)
  }
}

/// An option as the parser holds it: the text that was given, if one was.
private protocol GivenOption { var givenText: String? { get } }

extension Option: GivenOption {
  fileprivate var givenText: String? {
    if let list = wrappedValue as? [String] {
      return list.isEmpty ? nil : list.joined(separator: ",")
    }
    return wrappedValue as? String
  }
}

extension Flag: GivenOption {
  fileprivate var givenText: String? { (wrappedValue as? Bool).map { $0 ? "true" : "false" } }
}

extension RunSettings {
  /// Takes over every option that was given.
  ///
  /// Options are found by reflection, so that none is forgotten: `learningRate` is `learning_rate`.
  fileprivate mutating func take(
    from options: some ParsableArguments
  ) throws(ConfigurationError) {
    for child in Mirror(reflecting: options).children {
      guard let label = child.label, let text = (child.value as? any GivenOption)?.givenText else {
        continue
      }
      switch label {
      case "_config", "_methodField": continue
      case "_shuffle":
        try set("no_shuffle", text: text == "true" ? "false" : "true", source: .commandLine)
      default: try set(RunSettings.key(label), text: text, source: .commandLine)
      }
    }
  }

  private static func key(_ label: String) -> String {
    label.drop { $0 == "_" }.map { $0.isUppercase ? "_" + $0.lowercased() : String($0) }.joined()
  }
}
