import Foundation
import JSON
import Reporting

extension RunReport {
  /// How the result is used: here, in PEFT, and in llama.cpp where its format can say it.
  var usage: String {
    if method == "full" {
      return ReportPage.code("swift-peft-train generate --model \(directory)/adapter --prompt '…'")
    }
    let both = "--model \(base) --adapter \(directory)/adapter"
    var here = "swift-peft-train generate \(both) --prompt '…'"
    // Runs of earlier releases do not say.
    if history.run["merges"]?.bool ?? true {
      here += "\nswift-peft-train merge \(both) --output-dir merged"
    }
    var text = ReportPage.code(here)
    if method != "bottleneck" {
      text += ReportPage.code(
        """
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained("\(base)")
        model = PeftModel.from_pretrained(base, "\(directory)/adapter")
        """)
    }
    if isPlainLoRA {
      text += ReportPage.code(
        """
        swift-peft-train export \(directory)/adapter --to gguf --output-dir gguf
        llama-cli -m base.gguf --lora gguf/adapter.gguf    # the same base as GGUF
        """)
    }
    return text
  }

  /// Whether the adapter is factors alone, which is all that llama.cpp's format has words for.
  private var isPlainLoRA: Bool {
    method == "lora"
      && ["use_dora", "lora_bias"].allSatisfy { setting($0) ?? "false" == "false" }
      && setting("bias") ?? "none" == "none"
      && ["target_parameters", "modules_to_save", "trainable_token_indices"].allSatisfy {
        setting($0) == nil
      }
  }

  /// What the run trained on and was judged by.
  var data: [(name: String, value: String)] {
    ["train", "validation"].compactMap { split in
      guard let examples = history.run["\(split)_examples"]?.int,
        let tokens = history.run["\(split)_tokens"]?.int,
        let counted = history.run["\(split)_counted_tokens"]?.int
      else { return nil }
      let share = tokens > 0 ? " (\(percent(Double(counted) / Double(tokens))))" : ""
      return (
        split == "train" ? "Training" : "Validation",
        "\(Figure.grouped(examples)) examples, \(Figure.grouped(tokens)) tokens, "
          + "\(Figure.grouped(counted)) of them count in the loss\(share)"
      )
    }
  }

  /// Where the time of a run that was started once went.
  var times: [(name: String, value: String)] {
    guard history.startCount == 1, let all = history.end["seconds"]?.double, all > 0 else {
      return []
    }
    let saving = history.end["saving_seconds"]?.double ?? 0
    let verifying = history.end["verifying_seconds"]?.double ?? 0
    let evaluating = history.evaluations.compactMap { $0.value("eval_seconds") }.reduce(0, +)
    let rest = max(0, all - saving - verifying - evaluating)
    return [
      ("Steps, and answers to sample prompts", rest), ("Evaluations", evaluating),
      ("Checkpoints", saving), ("Reading the base again, against bit flips", verifying),
    ].map { ($0.0, "\(Figure.duration(seconds: $0.1)) (\(percent($0.1 / all)))") }
  }

  /// What each rank did in the steps; empty where one did all, or the run is not at its end.
  var ranks: [RankShare] {
    let end = history.end
    guard let counts = end["rank_micro_batches"]?.array?.map({ $0.int ?? 0 }),
      let passes = end["rank_pass_seconds"]?.array?.map({ $0.double ?? 0 }),
      let all = end["step_seconds"]?.double, all > 0, counts.count == passes.count, counts.count > 1
    else { return [] }
    return counts.indices.map {
      RankShare(rank: $0, microBatches: counts[$0], share: min(1, max(0, passes[$0] / all)))
    }
  }

  /// Ranks of which a page shows each; of more, the least and the most busy.
  private static let mostRanksShown = 32

  /// The ranks as bars.
  var balance: (bars: String, note: String) {
    var shown = ranks
    var note =
      "Which part of the steps' time a rank computed. The rest is sums over ranks, waiting for the "
      + "last of them, and the update."
    if shown.count > Self.mostRanksShown {
      shown.sort { $0.share < $1.share }
      let half = Self.mostRanksShown / 2
      note += " Of \(shown.count) ranks, the \(half) least and the \(half) most busy."
      shown = shown.prefix(half) + shown.suffix(half)
    }
    let bars = shown.map {
      (
        name: "rank \($0.rank)", share: $0.share,
        value: String(format: "%.1f %%", 100 * $0.share)
          + " in \(Figure.grouped($0.microBatches)) micro-batches"
      )
    }
    return (ReportPage.bars(bars), note)
  }
}

/// What a rank did of a run's steps.
struct RankShare {
  let rank: Int
  let microBatches: Int
  /// Its passes' part of the steps' time, 0 to 1.
  let share: Double
}
