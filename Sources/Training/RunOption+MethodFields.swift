extension RunOption {
  /// Fields of the methods' configurations in Hugging Face's spelling, without defaults here: the
  /// methods have them, and refuse fields that are not theirs.
  static let methodFields: [RunOption] = [
    field("target_modules", .names, "NAMES", "modules to adapt: names, a pattern, or all-linear"),
    field("exclude_modules", .names, "NAMES", "modules to leave out"),
    field("modules_to_save", .names, "NAMES", "modules to train in full besides"),
    field("layers_to_transform", .integers, "N,…", "blocks to adapt (all)"),
    field("layers_pattern", .names, "NAME", "the name in front of the block number"),
    field("fan_in_fan_out", .flag, "", "weights are stored [in, out]; found out when not given"),

    field("r", .integer(minimum: 1), "R", "lora: rank of the low-rank matrices (8)"),
    field("lora_alpha", .anyNumber, "X", "lora, adalora: scaling is alpha / r (8)"),
    field("lora_dropout", .share, "P", "lora, adalora: dropout in front of A (0)"),
    field("use_rslora", .flag, "", "lora: scaling is alpha / sqrt(r)"),
    field("use_dora", .flag, "", "lora: train a magnitude for each output"),
    field("lora_bias", .flag, "", "lora: train a bias on B"),
    field(
      "bias", .choice(["none", "all", "lora_only"]), "NAME",
      "lora: train biases of the base: none, all, lora_only"),
    field("init_lora_weights", .textOrFlag, "NAME", "lora: true, false or gaussian"),
    field("rank_pattern", .object, "JSON", "lora: rank by module pattern"),
    field("alpha_pattern", .object, "JSON", "lora: alpha by module pattern"),
    field("loraplus_lr_ratio", .positive, "X", "lora: learning rate of B over that of A (1)"),

    field("init_r", .integer(minimum: 1), "R", "adalora: rank at the start (12)"),
    field("target_r", .integer(minimum: 1), "R", "adalora: mean rank at the end (8)"),
    field("tinit", .integer(minimum: 0), "N", "adalora: steps before pruning (0)"),
    field("tfinal", .integer(minimum: 0), "N", "adalora: steps after pruning (0)"),
    field("delta_t", .integer(minimum: 1), "N", "adalora: steps between prunings (1)", "deltaT"),
    field("beta1", .share, "X", "adalora: decay of the importance's average (0.85)"),
    field("beta2", .share, "X", "adalora: decay of its uncertainty's average (0.85)"),
    field("orth_reg_weight", .positive, "X", "adalora: weight of the regulariser (0.5)"),
    field("total_step", .integer(minimum: 1), "N", "adalora: steps of the schedule (the run's)"),

    field("feedforward_modules", .names, "NAMES", "ia3: targets whose input is scaled"),
    field("init_ia3_weights", .flag, "", "ia3: start at ones"),

    field(
      "num_virtual_tokens", .integer(minimum: 1), "N",
      "prompt-tuning, prefix-tuning, p-tuning: tokens in front (20)"),
    field(
      "prompt_tuning_init", .choice(["RANDOM", "SAMPLE_VOCAB", "TEXT"]), "NAME",
      "prompt-tuning: RANDOM, SAMPLE_VOCAB or TEXT"),
    field("prompt_tuning_init_text", .text, "TEXT", "prompt-tuning: where TEXT starts"),
    field("tokenizer_name_or_path", .text, "PATH", "prompt-tuning: tokenizer of that text"),
    field("prefix_projection", .flag, "", "prefix-tuning: make the prefix by an encoder"),
    field(
      "encoder_hidden_size", .integer(minimum: 1), "N",
      "prefix-tuning, p-tuning: width of the encoder"),
    field(
      "encoder_reparameterization_type", .choice(["MLP", "LSTM"]), "NAME",
      "p-tuning: MLP or LSTM"),
    field("encoder_num_layers", .integer(minimum: 1), "N", "p-tuning: layers of the LSTM (2)"),
    field("encoder_dropout", .share, "P", "p-tuning: dropout in the LSTM (0)"),

    field("adapter_len", .integer(minimum: 1), "N", "llama-adapter: prompt rows of a block"),
    field("adapter_layers", .integer(minimum: 1), "N", "llama-adapter: topmost blocks to adapt"),

    field("bottleneck_size", .integer(minimum: 1), "N", "bottleneck: width of the adapters"),
    field("reduction_factor", .positive, "X", "bottleneck: hidden size over that width (16)"),
    field("mh_adapter", .flag, "", "bottleneck: adapters behind attention"),
    field("output_adapter", .flag, "", "bottleneck: adapters behind the feed-forward network"),
    field("non_linearity", .text, "NAME", "bottleneck: swish, relu, gelu, tanh …"),
    field("scaling", .anyNumber, "X", "bottleneck: factor on the adapter's output (1)"),
    field("dropout", .share, "P", "bottleneck: dropout (0)"),
    field("leave_out", .integers, "N,…", "bottleneck: blocks without adapters"),
    field("init_weights", .text, "NAME", "bottleneck: houlsby, bert or mam_adapter"),
  ]

  private static func field(
    _ key: String, _ kind: Kind, _ valueName: String, _ help: String, _ fieldName: String? = nil
  ) -> RunOption {
    RunOption(
      key, kind, valueName, help, group: .method, resumption: .mustMatch, fieldName: fieldName)
  }
}

extension RunOption.Kind {
  fileprivate static let anyNumber = Self.number(
    minimum: -Double.greatestFiniteMagnitude, maximum: .greatestFiniteMagnitude)
  fileprivate static let positive = Self.number(minimum: 0, maximum: .infinity)
  fileprivate static let share = Self.number(minimum: 0, maximum: 1)
}
