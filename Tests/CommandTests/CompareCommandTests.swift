import Foundation
import JSON
import TestSupport
import Testing

@Suite("compare", .serialized) struct CompareCommandTests {
  private func options(_ bench: Workbench, _ output: String) -> [String] {
    [
      "compare", "--model", bench.model, "--data", bench.data, "--output-dir", output,
      "--methods", "lora,llama-adapter", "--global-batch-size", "5", "--max-steps", "6",
      "--set", "lora.r=3", "--set", "lora.lora-dropout=0.1", "--threads", "1",
      "--learning-rates", "llama-adapter=0.02",
    ]
  }

  private func comparison(_ output: String) throws -> JSONValue {
    try JSONValue(parsing: Data(bytes(of: output + "/compare.json")))
  }

  /// The rows of a CSV without quoted line ends, by the names of its head.
  private func rows(_ output: String) throws -> [[String: String]] {
    let text = try String(contentsOfFile: output + "/compare.csv", encoding: .utf8)
    let lines = text.split(separator: "\r\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    let head = try #require(lines.first)
    return lines.dropFirst().map { Dictionary(uniqueKeysWithValues: zip(head, $0)) }
  }

  /// What does not depend on the clock or on the number of processes.
  private func figures(_ value: JSONValue) -> [JSONValue] {
    (value["methods"]?.array ?? []).map { row in
      var members = row.object ?? [:]
      for key in ["seconds_per_step", "peak_memory_bytes"] { members[key] = nil }
      return .object(members)
    }
  }

  @Test("Two ranks find the figures of one; CSV, JSON, page and the runs themselves agree")
  func ranks() throws {
    let bench = try Workbench()
    let one = bench.path("one")
    let alone = try bench.run(options(bench, one) + ["--json"])
    try #require(alone.status == 0, "\(alone.errors)")
    let printed = try JSONValue(parsing: Data(alone.output.utf8))
    let stored = try comparison(one)
    #expect(printed == stored)

    let two = bench.path("two")
    let shared = try bench.mpirun(ranks: 2, options(bench, two))
    try #require(shared.status == 0, "\(shared.errors)")
    #expect(figures(try comparison(two)) == figures(stored))
    #expect(try comparison(two)["base"] == stored["base"])
    #expect(try comparison(two)["world_size"] == 2)
    #expect(shared.output.contains("llama-adapter") && shared.output.contains("Evaluation loss"))

    let table = try rows(one)
    let methods = try #require(stored["methods"]?.array)
    #expect(table.map { $0["method"] } == ["lora", "llama-adapter"])
    for (row, value) in zip(table, methods) {
      for (name, key) in [
        ("trainable_parameters", "trainable_parameters"), ("train_loss", "train_loss"),
        ("eval_loss", "eval_loss"), ("allreduce_bytes_per_step", "allreduce_bytes"),
        ("seconds_per_step", "seconds_per_step"), ("peak_memory_bytes", "peak_memory_bytes"),
        ("learning_rate", "learning_rate"),
      ] {
        let found = try #require(row[name].flatMap(Double.init), "\(name)")
        #expect(found == value[key]?.double && found > 0, "\(name)")
      }
      // The run's own metrics, and what evaluate says of the adapter.
      let method = try #require(row["method"])
      let metrics = try bench.metrics("\(one)/\(method)")
      #expect(metrics.last { $0["event"] == "eval" }?["eval_loss"] == value["eval_loss"])
      #expect(metrics.first?["trainable_parameters"] == value["trainable_parameters"])
      let evaluated = try bench.run([
        "evaluate", "--model", bench.model, "--data", bench.data, "--adapter",
        "\(one)/\(method)/adapter", "--json",
      ])
      let loss = try JSONValue(parsing: Data(evaluated.output.utf8))["loss"]?.double ?? 0
      #expect(abs(loss - (value["eval_loss"]?.double ?? 0)) < 1e-5 * loss)
    }
    #expect(table[1]["learning_rate"] == "0.02")
    #expect(methods.first?["settings"]?["r"] == 3 && methods.last?["settings"]?["r"] == nil)

    let base = try bench.run([
      "evaluate", "--model", bench.model, "--data", bench.data, "--json",
    ])
    let loss = try JSONValue(parsing: Data(base.output.utf8))["loss"]?.double ?? 0
    #expect(abs(loss - (stored["base"]?["eval_loss"]?.double ?? 0)) < 1e-6 * loss)

    let page = try String(contentsOfFile: one + "/compare.html", encoding: .utf8)
    #expect(page.hasSuffix("</html>\n") && page.contains("<svg") && !page.contains("<script"))
  }

  @Test("A method that fails leaves the others their rows; --resume makes up for it alone")
  func failure() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let broken = try bench.mpirun(
      ranks: 2, options(bench, out) + ["--set", "llama-adapter.adapter_layers=99"])
    #expect(broken.status == 1, "\(broken.errors)")
    #expect(broken.errors.contains("1 of 2 methods failed (llama-adapter)"))
    #expect(broken.output.contains("lora"), "the table is printed all the same")
    let first = try #require(try comparison(out)["methods"]?.array)
    #expect(first.count == 2 && first[0]["error"]?.isNull ?? false)
    #expect(first[1]["error"]?.string?.contains("adapter_layers") ?? false)
    let weights = out + "/lora/adapter/adapter_model.safetensors"
    let before = try FileManager.default.attributesOfItem(atPath: weights)[.modificationDate]

    let again = try bench.run(options(bench, out))
    #expect(again.status == 73 && lastLine(again).contains("compare.json"), "\(again.errors)")
    let resumed = try bench.run(options(bench, out) + ["--resume"])
    #expect(resumed.status == 0, "\(resumed.errors)")
    let after = try FileManager.default.attributesOfItem(atPath: weights)[.modificationDate]
    #expect(before as? Date == after as? Date, "a finished method is not trained again")
    let second = try #require(try comparison(out)["methods"]?.array)
    #expect(second[0] == first[0])
    #expect(second[1]["error"]?.isNull ?? false && second[1]["eval_loss"]?.double != nil)

    // The same whether it was interrupted or not.
    let whole = bench.path("whole")
    try #require(try bench.run(options(bench, whole)).status == 0)
    #expect(figures(try comparison(whole)) == figures(try comparison(out)))
  }

  @Test("The best step's weights are scored on all ranks, and its loss is the row's")
  func best() throws {
    let bench = try Workbench()
    let more = [
      "--eval-steps", "1", "--load-best-model-at-end", "--num-epochs", "9", "--max-steps", "20",
      "--learning-rate", "0.2",
    ]
    var scores: [JSONValue] = []
    for ranks in [1, 3] {
      let out = bench.path("out-\(ranks)")
      let result = try bench.mpirun(ranks: ranks, options(bench, out) + more)
      try #require(result.status == 0, "\(result.errors)")
      let row = try #require(try comparison(out)["methods"]?.array?.first)
      let losses = try bench.metrics(out + "/lora").compactMap { $0["eval_loss"]?.double }
      #expect(row["eval_loss"]?.double == losses.min())
      #expect(losses.dropLast().last != losses.min(), "the last step is not the best")
      scores += figures(try comparison(out))
    }
    #expect(scores.prefix(2) == scores.suffix(2))
  }

  @Test("A learning rate that breaks a method is that method's failure, on all ranks")
  func divergence() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let result = try bench.mpirun(
      ranks: 2, options(bench, out) + ["--learning-rates", "lora=3e38", "--max-grad-norm", "0"])
    #expect(result.status == 1, "\(result.errors)")
    let rows = try #require(try comparison(out)["methods"]?.array)
    #expect(rows[0]["error"]?.string?.contains("not finite") ?? false)
    #expect(rows[1]["error"]?.isNull ?? false)
  }

  @Test("Wrong settings end before anything is trained")
  func usage() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    for (more, part) in [
      (["--methods", "lora,sing"], "sing"), (["--set", "lora.rr=2"], "--r"),
      (["--set", "full.r=2"], "full"), (["--learning-rates", "lora"], "lora=1e-3"),
      (["--method", "lora"], "--methods"), (["--max-score-examples=-1"], "0 or more"),
      (["--set", "lora.r=2.5"], "whole number"), (["--num-virtual-tokens", "3"], "None of the"),
    ] {
      let result = try bench.run(options(bench, out) + more)
      #expect(result.status == 64, "\(more): \(result.errors)")
      #expect(lastLine(result).contains(part), "\(more): \(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: out))
  }
}
