import Datasets
import Foundation
import JSON
import PEFT
import TestSupport
import Testing
import Training

@Suite("Commands", .serialized) struct CommandTests {
  @Test("Training follows PEFT's ten steps, and ends at its loss")
  func golden() throws {
    let bench = try Workbench()
    let result = try bench.run([
      "--model", bench.model, "--data", try Workbench.writeGoldenDataset(bench),
      "--adapter", fixturePath("peft/lora-llama/adapter"), "--global-batch-size", "3",
      "--num-epochs", "10", "--no-shuffle", "--lr-scheduler-type", "constant",
      "--learning-rate", "0.01", "--max-grad-norm", "0", "--logging-steps", "1",
      "--output-dir", bench.path("out"),
    ])
    try #require(result.status == 0, "\(result.errors)")
    let golden = try JSONValue(parsing: Data(bytes(of: fixturePath("peft/lora-llama/case.json"))))
    let metrics = try bench.metrics(bench.path("out"))
    let steps = metrics.filter { $0["event"] == "step" }
    for (key, name) in [("losses", "loss"), ("gradient_norms", "grad_norm")] {
      let expected = try #require(golden[key]?.array).compactMap(\.double)
      let found = steps.compactMap { $0[name]?.double }
      try #require(found.count == expected.count)
      for (found, expected) in zip(found, expected) {
        // f32 runs of different kernels drift apart a little with each update.
        #expect(abs(found - expected) < 1e-4 * expected, "\(name)")
      }
    }
    let final = try #require(golden["final_loss"]?.double)
    let eval = try #require(metrics.first { $0["event"] == "eval" }?["eval_loss"]?.double)
    #expect(abs(eval - final) < 1e-4 * final)
    #expect(metrics.first?["event"] == "run" && metrics.last?["event"] == "end")
    #expect(metrics.first?["trainable_parameters"] == golden["trainable_parameters"])
  }

  @Test("evaluate, export and merge agree with the run that made the adapter")
  func adapterCommands() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let trained = try bench.run(bench.options(output: out))
    try #require(trained.status == 0, "\(trained.errors)")
    let last = try #require(try bench.metrics(out).last { $0["event"] == "eval" })
    let loss = try #require(last["eval_loss"]?.double)

    func evaluate(_ model: String, _ adapter: String?) throws -> JSONValue {
      let result = try bench.run(
        ["evaluate", "--model", model, "--data", bench.data, "--json"]
          + (adapter.map { ["--adapter", $0] } ?? []))
      try #require(result.status == 0, "\(result.errors)")
      return try JSONValue(parsing: Data(result.output.utf8))
    }
    let found = try evaluate(bench.model, out + "/adapter")
    #expect(abs((found["loss"]?.double ?? 0) - loss) < 1e-6 * loss)
    #expect(found["examples"]?.int == 5)
    #expect(found["tokens"] == last["eval_tokens"])
    let base = try evaluate(bench.model, nil)
    #expect(abs((base["loss"]?.double ?? 0) - loss) > 1e-2, "the adapter matters")

    let checkpoint = out + "/checkpoints/step-00000012.h5"
    let exported = try bench.run(["export", checkpoint, "--output-dir", bench.path("exported")])
    try #require(exported.status == 0, "\(exported.errors)")
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
      #expect(try bytes(of: "\(out)/adapter/\(file)") == bytes(of: bench.path("exported/\(file)")))
    }
    let merged = try bench.run([
      "merge", "--model", bench.model, "--adapter", checkpoint, "--output-dir",
      bench.path("merged"),
    ])
    try #require(merged.status == 0, "\(merged.errors)")
    let mergedLoss = try evaluate(bench.path("merged"), nil)["loss"]?.double ?? 0
    #expect(abs(mergedLoss - loss) < 1e-5 * loss)

    #expect(merged.errors.contains("differ from base plus adapter by"))

    // Not onto something that is there.
    let again = try bench.run(["export", checkpoint, "--output-dir", bench.path("exported")])
    #expect(again.status == 73, "\(again.errors)")
  }

  @Test("What a step reduces is said before training, to the byte", arguments: [1, 2])
  func reducedBytes(ranks: Int) throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let options = bench.options(output: out) + ["--max-steps", "1", "--verbose"]
    let result = try ranks == 1 ? bench.run(options) : bench.mpirun(ranks: ranks, options)
    try #require(result.status == 0, "\(result.errors)")
    let line = try #require(result.errors.split(separator: "\n").first { $0.contains(" bytes") })
    let words = line.replacing(" bytes", with: "|").split(separator: "|")[0].split(separator: " ")
    let number = words.reversed().prefix { Int($0) != nil }.reversed().joined()
    let parameters = try #require(try bench.metrics(out).first?["trainable_parameters"]?.int)
    let said = try #require(Int(number))
    #expect(said > 8 * parameters && said < 8 * parameters + 1024, "\(line)")
    let step = try #require(try bench.metrics(out).first { $0["event"] == "step" })
    #expect(step["allreduce_bytes"]?.int == (ranks == 1 ? 0 : said))
  }

  @Test("full trains a model directory in the base's stored type")
  func full() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let result = try bench.run([
      "--model", fixturePath("model/llama-bf16"), "--data", bench.data, "--method", "full",
      "--output-dir", out, "--learning-rate", "0.01", "--num-epochs", "3", "--max-steps", "3",
    ])
    try #require(result.status == 0, "\(result.errors)")
    let inspected = try bench.run(["inspect", out + "/adapter", "--json"])
    try #require(inspected.status == 0, "\(inspected.errors)")
    let value = try JSONValue(parsing: Data(inspected.output.utf8))
    #expect(value["kind"] == "model directory")
    #expect(value["matrix_types"] == ["BF16"])
    let export = try bench.run([
      "export", out + "/checkpoints/step-00000003.h5", "--output-dir", bench.path("x"),
    ])
    #expect(export.status == 65 && lastLine(export).contains("merge"), "\(export.errors)")
  }

  @Test("What PEFT cannot load says so, also when it is exported from a checkpoint")
  func foreignAdapter() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let result = try bench.run([
      "--model", fixturePath("model/qwen3"), "--data", bench.data, "--method", "llama-adapter",
      "--adapter-layers", "1", "--output-dir", out, "--max-steps", "1",
    ])
    try #require(result.status == 0, "\(result.errors)")
    let export = try bench.run([
      "export", out + "/checkpoints/step-00000001.h5", "--output-dir", bench.path("exported"),
    ])
    try #require(export.status == 0, "\(export.errors)")
    for path in [out + "/adapter", bench.path("exported")] {
      let card = try String(contentsOfFile: path + "/README.md", encoding: .utf8)
      #expect(card.contains("PEFT will not"), "\(card)")
      #expect(!card.contains("from peft import"), "\(card)")
    }
  }

  @Test("The best step is exported when asked for, and the run stops when it no longer improves")
  func bestAndEarly() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let result = try bench.run(
      bench.options(output: out) + [
        "--eval-steps", "1", "--early-stopping-patience", "2", "--load-best-model-at-end",
        "--num-epochs", "40", "--save-total-limit", "1",
      ])
    try #require(result.status == 0, "\(result.errors)")
    let metrics = try bench.metrics(out)
    let evals = metrics.filter { $0["event"] == "eval" }
    let losses = evals.compactMap { $0["eval_loss"]?.double }
    let best = try #require(losses.indices.min { losses[$0] < losses[$1] })
    let end = try #require(metrics.last)
    #expect(end["status"] == "stopped_early")
    #expect(end["step"]?.int == best + 3)
    #expect(end["exported_step"]?.int == best + 1)
    let evaluated = try bench.run([
      "evaluate", "--model", bench.model, "--data", bench.data, "--adapter", out + "/adapter",
      "--json",
    ])
    let loss = try JSONValue(parsing: Data(evaluated.output.utf8))["loss"]?.double ?? 0
    #expect(abs(loss - losses[best]) < 1e-6 * loss)
  }

  @Test("inspect tells what it is shown, and 65 for what is damaged")
  func inspect() throws {
    let bench = try Workbench()
    let out = bench.path("out")
    let trained = try bench.run(bench.options(output: out) + ["--max-steps", "1"])
    try #require(trained.status == 0, "\(trained.errors)")
    let checkpoint = out + "/checkpoints/step-00000001.h5"
    for (path, kind) in [
      (bench.model, "model directory"), (out + "/adapter", "adapter directory"),
      (out, "output directory of a run"), (bench.data, "dataset"), (checkpoint, "checkpoint"),
      (out + "/adapter/adapter_model.safetensors", "safetensors file"),
    ] {
      let result = try bench.run(["inspect", path, "--json"])
      #expect(result.status == 0, "\(result.errors)")
      let value = try JSONValue(parsing: Data(result.output.utf8))
      #expect(value["kind"] == .string(kind))
      #expect(value["sound"] == true)
    }
    for (path, kind) in [(bench.data, "dataset"), (checkpoint, "checkpoint")] {
      var content = try bytes(of: path)
      content[content.count / 2] ^= 0x10
      content.removeLast(64)
      let damaged = bench.path("damaged-\(kind).h5")
      try Data(content).write(to: URL(fileURLWithPath: damaged))
      let result = try bench.run(["inspect", damaged])
      #expect(result.status == 65, "\(kind): \(result.output) \(result.errors)")
    }
    #expect(try bench.run(["inspect", bench.path("nothing")]).status == 65)
  }

  @Test("--help-all lists every option, the fields of methods last and by method")
  func helpAll() throws {
    let bench = try Workbench()
    let help = try bench.run(["train", "--help-all"])
    #expect(help.status == 0)
    #expect(try bench.run(["--help-all"]).output == help.output)
    let words = Set(help.output.split { " \n/,".contains($0) }.map(String.init))
    for option in RunOption.all {
      #expect(words.contains(option.optionName), "\(option.optionName)")
    }
    let places = try ["--model", "--adam-beta1", "--threads", "FIELDS OF LORA", "--r ", "--init-r"]
      .map { try #require(help.output.range(of: $0), "\($0)").lowerBound }
    #expect(places.max() == places.last && places[0] == places.min())
    #expect(places[2] < places[3])
    // Every option of a run is in one section; every method with fields has its own.
    let keys = RunOption.sections.flatMap(\.keys)
    #expect(keys.count == Set(keys).count)
    #expect(Set(keys) == Set(RunOption.all.filter { $0.group == .run }.map(\.key)))
    for method in PEFTMethods.names where !PEFTMethods.fields(of: method).isEmpty {
      #expect(help.output.contains("FIELDS OF \(method.uppercased()):"))
    }
    #expect(help.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }

  @Test("--help fits a screen, with what everybody needs first, and --version says one")
  func help() throws {
    let bench = try Workbench()
    let help = try bench.run(["train", "--help"])
    #expect(help.status == 0)
    let lines = help.output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 40, "\(lines.count) lines")
    let words = Set(help.output.split { " \n/,".contains($0) }.map(String.init))
    // Of the methods' fields, an example names some.
    for option in RunOption.all where option.group == .run {
      #expect(words.contains(option.optionName) == option.isCommon, "\(option.optionName)")
    }
    #expect(help.output.contains("--help-all"))
    let places = try ["--model", "--data", "--output-dir", "--method", "--global-batch-size"]
      .map { try #require(help.output.range(of: "  " + $0 + " <")).lowerBound }
    #expect(places == places.sorted())
    let version = try bench.run(["--version"])
    #expect(version.status == 0 && version.output.first?.isNumber == true)
  }
}

extension Workbench {
  /// The three sequences that the golden numbers are computed on, as train and validation.
  static func writeGoldenDataset(_ bench: Workbench) throws -> String {
    let inputs = try JSONValue(parsing: Data(bytes(of: fixturePath("inputs.json"))))
    let config = try JSONValue(parsing: Data(bytes(of: bench.model + "/config.json")))
    let path = bench.path("golden.h5")
    let writer = try TokenDatasetWriter(
      path: path, vocabularySize: config["vocab_size"]?.int ?? 0)
    for split in [SplitName.train, .validation] {
      for (tokens, mask) in zip(inputs["tokens"]?.array ?? [], inputs["loss_mask"]?.array ?? []) {
        try writer.append(
          tokens: (tokens.array ?? []).compactMap { $0.int.map(UInt32.init) },
          lossMask: (mask.array ?? []).compactMap { $0.int.map(UInt8.init) }, to: split)
      }
    }
    try writer.finish()
    return path
  }
}
