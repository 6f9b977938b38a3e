extension RunOption {
  /// What a name that other trainers use stands for here.
  public enum Translation: Sendable, Hashable {
    /// Another name for this key.
    case key(String)
    /// Something that is said otherwise here.
    case advice(String)
  }

  /// The meaning of a name that other trainers use; nil when it is nobody's.
  ///
  /// - Parameter name: with dashes or underscores.
  public static func translation(of name: String) -> Translation? {
    switch name.replacing("-", with: "_") {
    case "lora_r", "lora_rank": .key("r")
    case "per_device_train_batch_size": .key("micro_batch_size")
    case "cutoff_len", "max_seq_length", "sequence_len": .key("max_length")
    case "model_name_or_path", "base_model": .key("model")
    case "num_train_epochs": .key("num_epochs")
    case "clip_grad_norm": .key("max_grad_norm")
    case "compare": .advice("run 'swift-peft-train compare', which alone reads that section")
    case "gradient_accumulation_steps":
      .advice(
        "set global_batch_size to the sequences of one optimiser step over all ranks (micro-batch "
          + "size x accumulation steps x ranks)")
    default: nil
    }
  }
}
