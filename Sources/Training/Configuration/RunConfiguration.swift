import Diagnostics
import JSON
import Kernels

/// The arithmetic that the user asks for.
public enum PrecisionChoice: String, Sendable, CaseIterable {
  /// bf16 where the base is stored so and every rank's processor multiplies it natively, else f32.
  case auto
  /// Single precision.
  case float32 = "f32"
  /// Operands rounded to bf16, sums in single precision.
  case bfloat16 = "bf16"
}

/// The kernels that the user asks for.
public enum InstructionSetChoice: String, Sendable, CaseIterable {
  /// The best that the processor has.
  case auto
  /// One number at a time.
  case scalar
  /// AVX2 with FMA.
  case avx2
  /// AVX-512.
  case avx512
  /// NEON.
  case neon

  /// The set; nil for the best one.
  public var set: InstructionSet? { InstructionSet(rawValue: rawValue) }
}

/// Which update rule moves the parameters.
public enum OptimizerKind: String, Sendable, CaseIterable {
  /// Adam with decoupled weight decay.
  case adamw
  /// Plain gradient descent with decoupled weight decay.
  case sgd
}

/// Whether and from where a run goes on.
public enum ResumeChoice: Sendable, Hashable {
  /// A fresh run.
  case no
  /// From the newest sound checkpoint in the output directory.
  case newest
  /// From this checkpoint.
  case checkpoint(String)
}

/// Every setting of a run, typed and complete.
///
/// It is made from `RunSettings` once, at the start. Paths that are nil stand for the demo's.
public struct RunConfiguration: Sendable {
  /// What was set and where; the source of `config.yaml`.
  public let settings: RunSettings
  /// Base model directory.
  public let model: String?
  /// Dataset file.
  public let data: String?
  /// Where everything goes; nil for a new directory under `runs`.
  public let outputDirectory: String?
  /// Name of the method.
  public let method: String
  /// Adapter to start from.
  public let adapter: String?
  /// Hugging Face configuration of the method.
  public let peftConfiguration: String?
  /// Whether the run goes on.
  public let resume: ResumeChoice
  /// Sequences in one optimiser step, all ranks together.
  public let globalBatchSize: Int
  /// Sequences in one forward and backward.
  public let microBatchSize: Int
  /// Tokens in one forward and backward at most; nil where ``microBatchSize`` counts.
  public let microBatchTokens: Int?
  /// Most tokens of an example.
  public let maxLength: Int?
  /// Passes over the data.
  public let epochCount: Double
  /// Most optimiser steps.
  public let maxSteps: Int?
  /// Update rule.
  public let optimizer: OptimizerKind
  /// Peak learning rate.
  public let learningRate: Double
  /// Decay of the gradient's average.
  public let beta1: Double
  /// Decay of the squared gradient's average.
  public let beta2: Double
  /// Added to AdamW's denominator.
  public let epsilon: Double
  /// Decoupled weight decay.
  public let weightDecay: Double
  /// Gradient norm at which clipping starts; 0 = never.
  public let maxGradientNorm: Double
  /// How the rate moves.
  public let schedule: LearningRateSchedule.Kind
  /// Steps of rising rate.
  public let warmupSteps: Int
  /// The same as a share of all steps.
  public let warmupRatio: Double
  /// Everything random follows from it.
  public let seed: UInt64
  /// Whether each epoch has its own order.
  public let shuffles: Bool
  /// Arithmetic of the frozen base.
  public let precision: PrecisionChoice
  /// How the base's projections are kept; nil for as they are stored.
  public let baseQuantization: BaseQuantization?
  /// How the base comes to the nodes.
  public let baseDistribution: BaseDistribution
  /// A tokenizer in place of the model's.
  public let tokenizer: String?
  /// Compute threads of a rank; nil for a share of the cores allowed.
  public let threads: Int?
  /// Kernels that a rank computes with.
  public let instructionSet: InstructionSetChoice
  /// Whether threads may run on the rank's own cores only.
  public let bindsThreads: Bool
  /// Whether backward computes activations again.
  public let recomputesActivations: Bool
  /// Steps between metrics; 0 = only at the end.
  public let loggingSteps: Int
  /// Steps between evaluations; 0 = only at the end.
  public let evalSteps: Int
  /// Steps between checkpoints; 0 = only at the end.
  public let saveSteps: Int
  /// Checkpoints to keep; 0 = all.
  public let saveTotalLimit: Int
  /// Whether the exported adapter is the best one rather than the last.
  public let loadsBestModelAtEnd: Bool
  /// Evaluations without progress after which the run stops; 0 = never.
  public let earlyStoppingPatience: Int
  /// When the run stops with a checkpoint; nil: when it is done.
  public let timeLimit: TimeLimit?
  /// Seconds without progress after which the job ends; 0 = never.
  public let stallSeconds: Double
  /// Updates in a row that may be skipped for numbers that are not finite.
  public let maxSkippedSteps: Int
  /// Settings that a resumed run may have otherwise than its checkpoint.
  public let allowedChanges: Set<String>
  /// File of prompts to answer at every evaluation.
  public let samplePrompts: String?
  /// Steps to profile; 0 = none.
  public let profiledSteps: Int
  /// Whether every rank logs.
  public let logsAllRanks: Bool

  /// Checks the settings against each other and types them.
  ///
  /// - Throws: `ConfigurationError.conflict` where two exclude each other.
  public init(_ settings: RunSettings) throws(ConfigurationError) {
    self.settings = settings
    func value(_ key: String) -> JSONValue? {
      precondition(RunOption.named(key) != nil, "no option is called \(key)")
      return settings[key]
    }
    func required<T>(_ key: String, _ read: (JSONValue) -> T?) -> T {
      guard let value = value(key).flatMap(read) else {
        preconditionFailure("the option \(key) has no default of its type")
      }
      return value
    }
    func number(_ key: String) -> Double { required(key, \.double) }
    func integer(_ key: String) -> Int { required(key, \.int) }
    func flag(_ key: String) -> Bool { value(key)?.bool ?? false }
    func path(_ key: String) -> String? { value(key)?.string }
    model = path("model")
    data = path("data")
    outputDirectory = path("output_dir")
    method = path("method") ?? "lora"
    adapter = path("adapter")
    peftConfiguration = path("peft_config")
    resume =
      path("resume").map { $0.isEmpty ? .newest : .checkpoint($0) } ?? .no
    globalBatchSize = integer("global_batch_size")
    microBatchSize = integer("micro_batch_size")
    microBatchTokens = value("micro_batch_tokens")?.int
    maxLength = value("max_length")?.int
    epochCount = number("num_epochs")
    maxSteps = value("max_steps")?.int
    optimizer = path("optimizer").flatMap(OptimizerKind.init) ?? .adamw
    learningRate = number("learning_rate")
    beta1 = number("adam_beta1")
    beta2 = number("adam_beta2")
    epsilon = number("adam_epsilon")
    weightDecay = number("weight_decay")
    maxGradientNorm = number("max_grad_norm")
    schedule = path("lr_scheduler_type").flatMap(LearningRateSchedule.Kind.init) ?? .linear
    warmupSteps = integer("warmup_steps")
    warmupRatio = number("warmup_ratio")
    seed = UInt64(integer("seed"))
    shuffles = !flag("no_shuffle")
    precision = path("precision").flatMap(PrecisionChoice.init) ?? .auto
    baseQuantization = path("quantize_base").flatMap(BaseQuantization.init)
    baseDistribution = path("base_distribution").flatMap(BaseDistribution.init) ?? .auto
    tokenizer = path("tokenizer")
    threads = value("threads")?.int
    instructionSet =
      path("instruction_set").flatMap(InstructionSetChoice.init) ?? .auto
    bindsThreads = path("bind_threads") != "none"
    recomputesActivations = flag("gradient_checkpointing")
    loggingSteps = integer("logging_steps")
    evalSteps = integer("eval_steps")
    saveSteps = integer("save_steps")
    saveTotalLimit = integer("save_total_limit")
    loadsBestModelAtEnd = flag("load_best_model_at_end")
    earlyStoppingPatience = integer("early_stopping_patience")
    timeLimit = path("time_limit").flatMap(TimeLimit.init)
    stallSeconds = path("stall_timeout").flatMap(DurationText.seconds) ?? 0
    maxSkippedSteps = integer("max_skipped_steps")
    allowedChanges = Set(
      (value("allow_changed")?.array ?? []).compactMap(\.string).map {
        String($0.drop { $0 == "-" }).replacing("-", with: "_")
      })
    samplePrompts = path("sample_prompts")
    profiledSteps = integer("profile")
    logsAllRanks = flag("log_all_ranks")
    try checkConsistency()
  }

  private func checkConsistency() throws(ConfigurationError) {
    if microBatchTokens != nil && settings.isSet("micro_batch_size") {
      throw .conflict(
        "micro_batch_size cuts micro-batches by sequences, micro_batch_tokens by tokens",
        remedy: "Give one of them")
    }
    if microBatchSize > globalBatchSize {
      throw .conflict(
        "micro_batch_size (\(microBatchSize)) exceeds global_batch_size (\(globalBatchSize))",
        remedy: "A step takes global_batch_size sequences in pieces of micro_batch_size: lower it")
    }
    if epochCount == 0 && maxSteps == nil {
      throw .conflict("num_epochs is 0", remedy: "Give max_steps, or a number of epochs above 0")
    }
    if beta1 == 1 || beta2 == 1 {
      throw .conflict(
        "An average that decays by 1 never moves (adam_beta1 \(beta1), adam_beta2 \(beta2))",
        remedy: "Give numbers below 1")
    }
    if resume == .newest && outputDirectory == nil {
      throw .conflict(
        "--resume without a path looks for checkpoints in the output directory, and none is given",
        remedy: "Give --output-dir")
    }
    if adapter != nil && peftConfiguration != nil {
      throw .conflict(
        "An adapter brings its own configuration; --peft-config gives another",
        remedy: "Give one of them")
    }
    for key in allowedChanges.sorted() {
      guard let option = RunOption.named(key), option.resumption == .allowable else {
        throw .conflict(
          "--allow-changed names '\(key)', which is no setting that may change",
          remedy:
            "Those are \(RunOption.all.filter { $0.resumption == .allowable && $0.group == .run }.map(\.key).joined(separator: ", "))"
        )
      }
    }
    if settings["quiet"]?.bool == true && settings["verbose"]?.bool == true {
      throw .conflict("quiet and verbose are both set", remedy: "Set one of them")
    }
    if earlyStoppingPatience > 0 && evalSteps == 0 {
      throw .conflict(
        "early_stopping_patience counts evaluations, and there is only the one at the end",
        remedy: "Set eval_steps")
    }
  }

  /// The fields that were set, by Hugging Face name, as `method` reads them.
  ///
  /// Fields of other methods are among them, so that the method refuses them by name.
  public func methodFields(of method: String) -> [String: JSONValue] {
    var fields: [String: JSONValue] = [:]
    for option in RunOption.all where option.group == .method && settings.isSet(option.key) {
      let value = settings[option.key] ?? .null
      if let (name, value) = option.field(of: method, value) {
        fields[name] = value
      } else {
        let own = option.declarations.first { $0.method == method } ?? option.declarations.first
        fields[own?.field.name ?? option.key] = value
      }
    }
    return fields
  }
}
