import JSON
import PEFT

extension RunSettings {
  /// Columns of a comment.
  private static let width = 100

  /// All settings of a run as YAML with what each means: those that were given or have a default as they
  /// stand, others commented out, without the blank that comments have.
  ///
  /// A run from this text is one from these settings. Fields of other methods are left out.
  public var commentedYAML: String {
    let method = self["method"]?.string ?? "lora"
    var text = Self.comment(
      "Every setting of train with its help; what has no value is commented out. Names are the options' "
        + "with underscores for dashes.")
    for section in RunOption.sections {
      text += Self.heading(section.title)
      for option in section.keys.compactMap(RunOption.named) {
        // An adapter, or its configuration, says what the method is.
        let isOpen = option.key == "method" && (isSet("adapter") || isSet("peft_config"))
        let value = isOpen ? entries["method"]?.value : self[option.key]
        text += Self.setting(option.key, option.help, value, option.valueName)
      }
    }
    let fields = PEFTMethods.fields(of: method)
    if !fields.isEmpty { text += Self.heading("Fields of \(method), in Hugging Face's spelling") }
    for field in fields {
      text += Self.field(field, value: entries[field.key]?.value)
    }
    return text
  }

  /// A field of a method: its value, or as a comment what the method takes where none is given.
  private static func field(_ field: MethodField, value: JSONValue?) -> String {
    if let value { return setting(field.key, field.help, value, field.valueName) }
    let fallback = field.kind == .flag ? "false" : field.valueName
    return comment(field.help) + "#\(field.key): \(field.defaultValue.map(yaml) ?? fallback)\n"
  }

  private static func setting(
    _ key: String, _ help: String, _ value: JSONValue?, _ valueName: String
  ) -> String {
    // `--resume` alone is `resume: true` here, and an empty text.
    let text = key == "resume" && value?.string == "" ? "true" : value.map(yaml)
    return comment(help) + (text.map { "\(key): \($0)\n" } ?? "#\(key): \(valueName)\n")
  }

  private static func heading(_ title: String) -> String { "\n# ---- \(title)\n\n" }

  /// A text as lines of comment.
  private static func comment(_ text: String) -> String {
    var lines = ["#"]
    for word in text.split(separator: " ") {
      if lines[lines.count - 1].count + 1 + word.count > width { lines.append("#") }
      lines[lines.count - 1] += " " + word
    }
    return lines.joined(separator: "\n") + "\n"
  }

  // MARK: Examples

  /// The methods' examples: a few words, and what a first run would set.
  private static let examples:
    KeyValuePairs<String, (about: String, settings: KeyValuePairs<String, JSONValue>)> = [
      "lora": (
        "LoRA: matrices of a low rank beside the projections. The first thing to try.",
        ["r": 16, "lora_alpha": 32, "target_modules": "all-linear", "learning_rate": 2e-4]
      ),
      "adalora": (
        "AdaLoRA: LoRA whose rank is dealt out among the projections by their importance. The schedule "
          + "tinit, tfinal, delta_t counts steps and must fit into the run.",
        ["init_r": 12, "target_r": 8, "target_modules": "all-linear", "learning_rate": 1e-3]
      ),
      "ia3": (
        "(IA)3: vectors that scale keys, values and the feed-forward network. The fewest parameters; "
          + "merges into the base.",
        ["learning_rate": 5e-3]
      ),
      "miss": (
        "MiSS: one matrix that all shards of a projection's input share.",
        ["r": 64, "target_modules": "all-linear", "learning_rate": 5e-4]
      ),
      "bottleneck": (
        "Houlsby's adapters: small networks behind attention and feed-forward, in AdapterHub's format.",
        ["learning_rate": 1e-3]
      ),
      "prompt-tuning": (
        "Prompt tuning: embeddings in front of the text, and nothing else. It wants high rates.",
        ["num_virtual_tokens": 20, "learning_rate": 0.3]
      ),
      "p-tuning": (
        "P-tuning: a prompt that a small network makes.",
        ["num_virtual_tokens": 20, "encoder_hidden_size": 128, "learning_rate": 5e-3]
      ),
      "prefix-tuning": (
        "Prefix tuning: keys and values in front, in every block.",
        ["num_virtual_tokens": 20, "learning_rate": 1e-2]
      ),
      "llama-adapter": (
        "LLaMA-Adapter: gated prompts in the upper blocks, whose number is adapter_layers.",
        ["adapter_len": 10, "adapter_layers": 2, "learning_rate": 9e-3]
      ),
      "full": (
        "Full fine-tuning: every weight, to compare with. Memory is that of the weights four times over.",
        ["learning_rate": 2e-5]
      ),
    ]

  /// A short commented file for a first run with a method.
  ///
  /// - Returns: nil where there is no such method.
  public static func example(of method: String) -> String? {
    guard let example = examples.first(where: { $0.key == method })?.value else { return nil }
    let own = Dictionary(uniqueKeysWithValues: example.settings.map { ($0, $1) })
    let name = "examples/\(method).yaml"
    var text = "# yaml-language-server: $schema=../schema/run.schema.json\n"
    text += comment(example.about) + "#\n"
    text += "#   mpirun -n 8 swift-peft-train --config \(name)\n#\n"
    text += comment(
      "Put your model and data in. 'swift-peft-train train --print-config --method \(method)' has every "
        + "other setting.")
    let common: KeyValuePairs<String, JSONValue> = [
      "model": "/models/SmolLM2-135M-Instruct", "data": "data.h5",
      "output_dir": .string("runs/\(method)"), "method": .string(method), "global_batch_size": 32,
      "micro_batch_size": 4, "learning_rate": own["learning_rate"] ?? 2e-4, "num_epochs": 3,
      "warmup_ratio": 0.03, "lr_scheduler_type": "cosine", "eval_steps": 100, "save_steps": 100,
      "load_best_model_at_end": true,
    ]
    text += "\n"
    for (key, value) in common {
      let option = RunOption.named(key)
      text += setting(key, option?.help ?? "", value, option?.valueName ?? "")
    }
    let fields = PEFTMethods.fields(of: method)
    if !fields.isEmpty { text += heading("Fields of \(method), in Hugging Face's spelling") }
    for field in fields { text += Self.field(field, value: own[field.key]) }
    return text
  }
}
