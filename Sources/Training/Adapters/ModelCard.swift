import Foundation
import JSON
import PEFT

/// An adapter's `README.md`: a model card as the Hugging Face Hub reads it, filled from the run.
///
/// Between the lines of dashes is YAML that the Hub understands, with the keys and tags that PEFT writes.
struct ModelCard {
  /// Configuration and tensors of the adapter.
  let export: AdapterExport
  /// The name or path of its base.
  let base: String
  /// How it was trained; nil where that is not known.
  var training: AdapterTraining?

  private var peftType: String? { export.configuration["peft_type"]?.string }
  private var type: String { peftType ?? "bottleneck" }

  /// The text of the file.
  var text: String {
    let count = export.tensors.reduce(0) { $0 + $1.count }
    let notes = export.notes.map { "- \($0)\n" }.joined()
    return """
      ---
      base_model: \(Self.quoted(base))
      library_name: \(peftType == nil ? "adapter-transformers" : "peft")
      pipeline_tag: text-generation
      tags:
      - \(Self.quoted("base_model:adapter:\(base)"))
      - \(type.lowercased())
      - transformers
      ---

      # Adapter (\(type))

      \(grouped(count)) parameters in \(export.tensors.count) tensors, trained with swift-peft-train
      \(ProgramVersion.text) on the base `\(base)`.

      ## Use

      \(use)
      \(notes.isEmpty ? "" : "\n" + notes)\(training.map { "\n## Training\n\n" + $0.table } ?? "")\(publishing)
      """
  }

  /// What is to be changed before others can use it: the Hub takes the name of a model there, and no path.
  private var publishing: String {
    guard base.hasPrefix("/") || base.hasPrefix(".") else { return "" }
    return """

      ## Before it is published

      The base is named here by its path. The Hub wants its name there, such as `owner/model`: in this file,
      and as `base_model_name_or_path` in `adapter_config.json`.

      """
  }

  /// A text as YAML has it whatever is in it: JSON's strings are YAML's.
  private static func quoted(_ text: String) -> String { JSONValue.string(text).text() }

  /// How the adapter is used: in its own library, or where that has no such adapter, with this
  /// program.
  private var use: String {
    if !export.notes.isEmpty {
      return """
            swift-peft-train generate --model \(base) --adapter adapter --prompt …
        """
    }
    if peftType == nil {
      return """
            import adapters
            from transformers import AutoModelForCausalLM

            model = AutoModelForCausalLM.from_pretrained("\(base)")
            adapters.init(model)
            name = model.load_adapter("adapter", use_safetensors=True)
            model.set_active_adapters(name)
        """
    }
    return """
          from peft import PeftModel
          from transformers import AutoModelForCausalLM

          base = AutoModelForCausalLM.from_pretrained("\(base)")
          model = PeftModel.from_pretrained(base, "adapter")
      """
  }
}

/// How an adapter was trained, for its model card.
public struct AdapterTraining {
  /// The run's settings by key, resolved.
  let settings: [String: JSONValue]
  /// Optimiser steps that made it.
  let step: Int
  /// The lowest loss on the validation split so far, which checkpoints keep, too: the card of a run that
  /// was resumed has the bytes of one that was not.
  let best: BestSoFar

  /// States it.
  init(settings: [String: JSONValue], step: Int, best: BestSoFar) {
    self.settings = settings
    self.step = step
    self.best = best
  }

  /// What a checkpoint knows of it.
  init(_ checkpoint: StoredCheckpoint) {
    self.init(
      settings: checkpoint.configuration.object ?? [:], step: checkpoint.reader.metadata.step,
      best: BestSoFar(stored: checkpoint.configuration["training_state"]))
  }

  /// A table in Markdown.
  var table: String {
    var rows: [(name: String, value: String)] = []
    if let data = settings["data"]?.string {
      rows.append(("data", "`\(URL(fileURLWithPath: data).lastPathComponent)`"))
    }
    let batch = text("global_batch_size").map { ", \($0) sequences each" } ?? ""
    rows.append(("steps", "\(step)\(batch)"))
    for (name, key) in [
      ("learning rate", "learning_rate"), ("schedule", "lr_scheduler_type"),
      ("optimiser", "optimizer"), ("weight decay", "weight_decay"), ("precision", "precision"),
      ("seed", "seed"),
    ] {
      if let value = text(key) { rows.append((name, value)) }
    }
    if let evaluated = best.step {
      let figures = String(format: "%.4f (perplexity %.3f)", best.loss, exp(best.loss))
      rows.append(("lowest evaluation loss", "\(figures), after step \(evaluated)"))
    }
    return "| | |\n| --- | --- |\n" + rows.map { "| \($0.name) | \($0.value) |\n" }.joined()
  }

  private func text(_ key: String) -> String? {
    settings[key].map { $0.string ?? $0.text() }
  }
}
