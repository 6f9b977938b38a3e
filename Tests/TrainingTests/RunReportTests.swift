import Foundation
import Reporting
import TestSupport
import Testing
import Training

@Suite("The report of a run") struct RunReportTests {
  /// Two starts: the second takes step 3 again, and a line was cut off by the kill.
  static let metrics = """
    {"event": "run", "world_size": 2, "nodes": 1, "threads": 1, "method": "lora", "trainable_parameters": 1000, "total_parameters": 100000, "total_steps": 4, "precision": "f32", "instruction_set": "avx2", "versions": {"swift-peft-train": "0.1.0"}}
    {"event": "step", "step": 1, "loss": 4.0, "grad_norm": 1.5, "learning_rate": 0.001, "tokens_per_second": 10}
    {"event": "step", "step": 2, "loss": 3.0, "grad_norm": 1.0, "learning_rate": 0.001, "tokens_per_second": 10}
    {"event": "eval", "step": 2, "eval_loss": 3.5, "eval_perplexity": 33.1, "eval_accuracy": 0.25}
    {"event": "step", "step": 3, "loss": 9.0, "grad_n
    {"event": "run", "world_size": 4, "nodes": 2, "threads": 1, "method": "lora", "trainable_parameters": 1000, "total_parameters": 100000, "total_steps": 4, "precision": "f32", "instruction_set": "avx2", "versions": {"swift-peft-train": "0.1.0"}}
    {"event": "step", "step": 3, "loss": 2.5, "grad_norm": null, "learning_rate": 0.001, "tokens_per_second": 10}
    {"event": "skipped", "step": 3, "reason": "<not finite>"}
    {"event": "step", "step": 4, "loss": 2.0, "grad_norm": 0.5, "learning_rate": 0.001, "tokens_per_second": 10}
    {"event": "eval", "step": 4, "eval_loss": 2.25, "eval_perplexity": 9.5, "eval_accuracy": 0.5}
    {"event": "end", "status": "completed", "step": 4, "seconds": 3661, "peak_memory_bytes": 1048576, "planned_memory_bytes": 1048576, "tokens_per_second": 12.5, "share_of_peak": 0.5, "step_seconds": 50, "rank_micro_batches": [3, 2, 2, 1], "rank_pass_seconds": [49, 45.5, 48, 50]}
    """

  private func report(_ text: String = metrics) -> RunReport {
    RunReport(
      RunHistory(metrics: text), directory: "/runs/<first>",
      configuration: "model: \"/models/base & co\"\nseed: 7\n")
  }

  @Test("Steps that were taken again count once, as they were at last")
  func history() {
    let history = RunHistory(metrics: Self.metrics)
    #expect(history.startCount == 2)
    #expect(history.steps.map(\.number) == [1, 2, 3, 4])
    #expect(history.evaluations.map(\.number) == [2, 4])
    #expect(history.events.map(\.name) == ["skipped"])
    #expect(history.run["world_size"]?.int == 4)
  }

  @Test("The page has the figures, is escaped and loads nothing")
  func page() {
    let html = report().html
    for text in [
      "lora on base &amp; co: finished after step 4.", "&lt;first&gt;", "2.2500", "best, at step 4",
      "4 ranks of 1 thread on 2 nodes", "1 h 1 min", "&lt;not finite&gt;", "seed",
      "of the last start", "96 %", "of the steps&#39; time; 91 % to 100 %",
      "<dt>rank 1</dt><dd><span class=\"bar\"><i style=\"width:91.0%\">",
      "91.0 % in 2 micro-batches",
    ] {
      #expect(html.contains(text), "\(text)")
    }
    for text in ["<first>", "<script", "http:", "https:", "src="] {
      #expect(!html.contains(text), "\(text)")
    }
    #expect(html.components(separatedBy: "<svg").count == 5)
  }

  @Test("A run without a step, or that is not at its end, has a page too")
  func unfinished() throws {
    let first = try #require(Self.metrics.split(separator: "\n").first)
    #expect(report(String(first)).html.contains("not at its end"))
    #expect(report("").html.contains("not at its end"))
    #expect(report(String(first)).plainText.count > 1)
  }

  /// A run that was started once, whose lines say what earlier releases did not.
  static let whole = """
    {"event": "run", "world_size": 2, "method": "lora", "total_steps": 4, "base": "/share/demo", "merges": true, "train_examples": 1200, "train_tokens": 60000, "train_counted_tokens": 15000, "validation_examples": 8, "validation_tokens": 400, "validation_counted_tokens": 100}
    {"event": "step", "step": 4, "loss": 2.0}
    {"event": "eval", "step": 2, "eval_loss": 3.5, "eval_seconds": 6}
    {"event": "eval", "step": 4, "eval_loss": 2.25, "eval_seconds": 4}
    {"event": "end", "status": "completed", "step": 4, "seconds": 100, "saving_seconds": 5, "verifying_seconds": 1}
    """

  @Test("The page says what the run trained on, and where its time went")
  func dataAndTime() {
    let html = report(Self.whole).html
    for text in [
      "1 200 examples, 60 000 tokens, 15 000 of them count in the loss (25 %)",
      "8 examples, 400 tokens, 100 of them count in the loss (25 %)",
      "Evaluations</dt><dd>10", "Checkpoints</dt><dd>5", "(84 %)",
    ] {
      #expect(html.contains(text), "\(text)")
    }
    // Of several starts the last one's time says nothing of the others' evaluations.
    #expect(!report().html.contains("Checkpoints</dt>") && !report().html.contains("<h2>Data"))
  }

  @Test("Only what can be done with an adapter is shown")
  func usage() throws {
    let directory = try TemporaryDirectory()
    try FileManager.default.createDirectory(
      atPath: directory.path("adapter"), withIntermediateDirectories: true)
    func page(_ metrics: String, _ settings: String) -> String {
      RunReport(
        RunHistory(metrics: metrics), directory: directory.path, configuration: settings
      ).html
    }
    let lora = page(Self.whole, "method: lora\n")
    // No setting names the demo's base.
    for text in ["--to gguf", "train merge", "from peft", "--model /share/demo"] {
      #expect(lora.contains(text), "\(text)")
    }
    #expect(lora.contains("lora on the demo&#39;s base"))
    #expect(page(Self.whole, "model: \"/models/a\"\n").contains("--model /models/a"))
    for settings in ["use_dora: true", "bias: \"all\"", "modules_to_save: [\"lm_head\"]"] {
      #expect(!page(Self.whole, settings).contains("--to gguf"), "\(settings)")
    }
    let prompt = page(
      Self.whole.replacing("\"lora\"", with: "\"prompt-tuning\"").replacing(
        "\"merges\": true", with: "\"merges\": false"), "")
    #expect(
      !prompt.contains("--to gguf") && !prompt.contains("train merge")
        && prompt.contains("from peft"))
  }

  @Test("In the terminal, figures stand above the curve")
  func terminal() {
    let lines = report().plainText
    #expect(lines[0].hasPrefix("lora on base & co: finished"))
    #expect(lines.contains { $0.contains("Evaluation loss") && $0.contains("2.2500") })
    #expect(lines.contains { $0.contains("┤") })
  }
}
