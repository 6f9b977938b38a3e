import DataParallel
import Kernels
import PEFT

extension RunOption {
  /// Every setting, in the order in which help and `config.yaml` show them.
  public static let all: [RunOption] = run + methodFields

  /// Optimisers by name.
  public static let optimizers = ["adamw", "sgd"]
  /// Schedules by name.
  public static let schedules = LearningRateSchedule.Kind.allCases.map(\.rawValue)
  /// Arithmetic of the frozen base, by name.
  public static let precisions = PrecisionChoice.allCases.map(\.rawValue)

  /// Instruction sets of the kernels, by name.
  public static let instructionSets = InstructionSetChoice.allCases.map(\.rawValue)

  /// Settings that each rank may have of its own: they touch speed, not results.
  static let ofRank: Set = ["threads", "instruction_set"]

  private static let run: [RunOption] = [
    RunOption(
      "model", .path, "DIR|FILE",
      "Hugging Face model directory, also as bitsandbytes quantised it, or GGUF file (default: the demo "
        + "base)"),
    RunOption(
      "tokenizer", .path, "DIR|FILE", "in place of the tokenizer that the model brings"),
    RunOption(
      "quantize_base", .choice(BaseQuantization.allCases.map(\.rawValue)), "T",
      "keep the frozen base's projections as nf4 or q8_0, quantised once a node as it is read",
      resumption: .mustMatch),
    RunOption(
      "data", .path, "FILE", "HDF5 dataset (default: the demo task)", resumption: .allowable),
    RunOption(
      "output_dir", .path, "DIR", "where the run writes (default: runs/METHOD-TIME)"),
    RunOption(
      "method", .text, default: "lora", "NAME", PEFTMethods.names.joined(separator: ", "),
      resumption: .mustMatch),
    RunOption(
      "adapter", .path, "PATH",
      "start from this adapter directory or checkpoint"),
    RunOption(
      "peft_config", .path, "FILE",
      "a Hugging Face adapter_config.json that sets the method and its fields"),
    RunOption(
      "resume", .optionalPath, "PATH",
      "go on from this checkpoint; without PATH (or with newest) from the output directory's newest"
    ),
    RunOption(
      "global_batch_size", .integer(minimum: 1), default: 8, "N",
      "sequences of a step, all ranks together", resumption: .allowable),
    RunOption(
      "micro_batch_size", .integer(minimum: 1), default: 1, "N",
      "sequences in one forward and backward", resumption: .allowable),
    RunOption(
      "micro_batch_tokens", .integer(minimum: 1), "N",
      "in place of micro_batch_size: tokens in one forward and backward at most (a longer example has one of its own)",
      resumption: .allowable),
    RunOption(
      "max_length", .integer(minimum: 2), "N",
      "cut longer examples (default: the model's positions)",
      resumption: .allowable),
    RunOption(
      "num_epochs", .number(minimum: 0, maximum: .infinity), default: 1, "X",
      "passes over the data", resumption: .warns),
    RunOption(
      "max_steps", .integer(minimum: 1), "N", "optimiser steps at most", resumption: .warns),
    RunOption(
      "optimizer", .choice(optimizers), default: "adamw", "NAME", "adamw or sgd",
      resumption: .mustMatch),
    RunOption(
      "learning_rate", .number(minimum: 0, maximum: .infinity), default: 2e-4, "X",
      "peak learning rate", resumption: .allowable),
    RunOption(
      "adam_beta1", .number(minimum: 0, maximum: 1), default: 0.9, "X",
      "decay of the gradient's average", resumption: .allowable),
    RunOption(
      "adam_beta2", .number(minimum: 0, maximum: 1), default: 0.999, "X",
      "decay of the squared gradient's average", resumption: .allowable),
    RunOption(
      "adam_epsilon", .number(minimum: 0, maximum: .infinity), default: 1e-8, "X",
      "added to AdamW's denominator", resumption: .allowable),
    RunOption(
      "weight_decay", .number(minimum: 0, maximum: .infinity), default: 0.0, "X",
      "decoupled weight decay", resumption: .allowable),
    RunOption(
      "max_grad_norm", .number(minimum: 0, maximum: .infinity), default: 1.0, "X",
      "clip the gradient's global norm; 0 = do not", resumption: .allowable),
    RunOption(
      "lr_scheduler_type", .choice(schedules), default: "linear", "NAME",
      schedules.joined(separator: ", "), resumption: .allowable),
    RunOption(
      "warmup_steps", .integer(minimum: 0), default: 0, "N", "steps of rising learning rate",
      resumption: .allowable),
    RunOption(
      "warmup_ratio", .number(minimum: 0, maximum: 1), default: 0.0, "X",
      "the same as a share of all steps, rounded up", resumption: .allowable),
    RunOption(
      "seed", .integer(minimum: 0, maximum: .max), default: 42, "N",
      "everything random follows from it",
      resumption: .allowable),
    RunOption(
      "no_shuffle", .flag, default: false, "", "take examples in file order, epoch after epoch",
      resumption: .allowable),
    RunOption(
      "precision", .choice(precisions), default: "auto", "P",
      "the base's arithmetic: f32, bf16, auto", resumption: .allowable),
    RunOption(
      "threads", .integer(minimum: 1, maximum: ProcessorShare.mostThreads), "N",
      "threads of a rank (default: cores / local ranks)"),
    RunOption(
      "instruction_set", .choice(instructionSets), default: "auto", "SET",
      "kernels: auto (the best that the processor has), scalar, avx2, avx512 or neon"),
    RunOption(
      "bind_threads", .choice(["auto", "none"]), default: "auto", "HOW",
      "auto: each thread stays on a core of the rank's own; none: the system places them"),
    RunOption(
      "mpi", .choice(MPIChoice.allCases.map(\.rawValue)), default: "auto", "NAME",
      "which MPI library to load: openmpi, mpich (or Intel's, Cray's, MVAPICH's), auto: the launcher's"
    ),
    RunOption(
      "base_distribution", .choice(BaseDistribution.allCases.map(\.rawValue)), default: "auto",
      "HOW",
      "read: every node reads the base; broadcast: one node in \(BaseFiles.nodesPerReader) reads it and the others receive it"
    ),
    RunOption(
      "base_copies", .choice(BaseCopies.allCases.map(\.rawValue)), default: "node", "WHERE",
      "node: the ranks of a node share one base; numa: those of a NUMA domain, who read near memory"
    ),
    RunOption(
      "gradient_checkpointing", .flag, default: false, "",
      "recompute activations in backward instead of keeping them"),
    RunOption(
      "logging_steps", .integer(minimum: 0), default: 10, "N",
      "steps between metrics; 0: at the end"),
    RunOption(
      "eval_steps", .integer(minimum: 0), default: 0, "N",
      "steps between evaluations; 0: at the end"),
    RunOption(
      "save_steps", .integer(minimum: 0), default: 0, "N",
      "steps between checkpoints; 0: at the end"),
    RunOption(
      "save_total_limit", .integer(minimum: 0), default: 3, "N",
      "checkpoints to keep, the newest; 0 = all"),
    RunOption(
      "load_best_model_at_end", .flag, default: false, "",
      "adapter/ holds the step of the lowest eval_loss, not the last"),
    RunOption(
      "early_stopping_patience", .integer(minimum: 0), default: 0, "N",
      "stop after so many evaluations without a better eval_loss; 0 = never"),
    RunOption(
      "time_limit", .duration(words: ["auto"]), "DURATION",
      "stop with a checkpoint before so much time is over (3h50m; auto: the end that Slurm gave the job)"
    ),
    RunOption(
      "stall_timeout", .duration(words: []), default: "10m", "DURATION",
      "end the job when a rank makes no progress for so long; 0 = never"),
    RunOption(
      "max_skipped_steps", .integer(minimum: 0), default: 10, "N",
      "updates in a row that may be skipped for numbers that are not finite"),
    RunOption(
      "allow_changed", .names, "KEY,…",
      "settings that a resumed run may have otherwise than its checkpoint, such as learning_rate"),
    RunOption(
      "sample_prompts", .path, "FILE",
      "prompts, a line each, answered before the first step and at every evaluation"),
    RunOption(
      "profile", .integer(minimum: 0), default: 0, "STEPS",
      "time the parts of so many steps (3 without STEPS): a table, and profile.json for Perfetto"),
    RunOption("quiet", .flag, default: false, "", "log warnings and errors alone"),
    RunOption(
      "verbose", .flag, default: false, "",
      "log details of the start too, and on a terminal every line that a file would have"),
    RunOption(
      "log_json", .flag, default: false, "", "log a JSON object a line, for collectors of logs"),
    RunOption("log_all_ranks", .flag, default: false, "", "let every rank log, not rank 0 alone"),
  ]
}
