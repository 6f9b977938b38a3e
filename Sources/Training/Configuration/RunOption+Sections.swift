extension RunOption {
  /// Options that belong together, as `--help-all` shows them.
  public struct Section: Sendable {
    /// What they are about.
    public let title: String
    /// Their keys, in order.
    public let keys: [String]
  }

  /// Every option of a run, what everybody needs first.
  ///
  /// Options that no section names stand in the last one.
  public static let sections: [Section] = {
    var sections = [
      Section(
        title: "What everybody needs",
        keys: [
          "model", "data", "output_dir", "method", "global_batch_size", "micro_batch_size",
          "max_length", "learning_rate", "num_epochs", "max_steps", "adapter", "resume", "seed",
          "precision", "threads", "eval_steps", "save_steps", "time_limit",
        ]),
      Section(
        title: "Optimiser and schedule",
        keys: [
          "optimizer", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay",
          "max_grad_norm", "lr_scheduler_type", "warmup_steps", "warmup_ratio", "no_shuffle",
        ]),
      Section(
        title: "Evaluation, checkpoints and logging",
        keys: [
          "logging_steps", "save_total_limit", "load_best_model_at_end",
          "early_stopping_patience", "sample_prompts", "profile", "quiet", "verbose", "log_json",
          "log_all_ranks",
        ]),
      Section(
        title: "When something goes wrong",
        keys: ["stall_timeout", "max_skipped_steps", "allow_changed"]),
    ]
    let named = Set(sections.flatMap(\.keys))
    let others = all.filter { $0.group == .run && !named.contains($0.key) }.map(\.key)
    sections.append(Section(title: "Memory, machine and the rest", keys: others))
    return sections
  }()

  /// Whether `train --help` shows the option.
  public var isCommon: Bool { Self.sections[0].keys.contains(key) }
}
