import Foundation
import JSON
import TestSupport
import Testing

/// Runs whose numbers go wrong, and bases that change under a run.
@Suite("Divergence, and bases that change under a run", .serialized)
struct SoundnessTests {
  private static let probe = ProcessRunner.built("training-probe")
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func settings(_ lines: [String], output: String = "out") throws -> String {
    let path = bench.path("run-\(UUID().uuidString).yaml")
    let keys = Set(lines.map { $0.prefix { $0 != ":" } })
    let common = [
      "model: \(bench.model)", "data: \(bench.data)", "output_dir: \(bench.path(output))",
      "global_batch_size: 5", "threads: 1", "logging_steps: 1", "num_epochs: 100",
      "learning_rate: 0.02", "lr_scheduler_type: constant",
    ].filter { !keys.contains($0.prefix { $0 != ":" }) }
    try (common + lines).joined(separator: "\n").write(
      toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  private func events(_ name: String, output: String = "out") throws -> [JSONValue] {
    try bench.metrics(bench.path(output)).filter { $0["event"]?.string == name }
  }

  @Test("Updates of numbers that are not finite are skipped alike on 1 and 2 ranks, and named")
  func skipping() throws {
    var adapters: [[String]] = []
    for ranks in [1, 2] {
      let output = "out\(ranks)"
      let run = try settings(["max_steps: 8"], output: output)
      let arguments = [run, "poison=3,5"]
      let result =
        ranks == 1
        ? try ProcessRunner.run(Self.probe, arguments)
        : try ProcessRunner.mpirun(ranks: 2, Self.probe, arguments)
      #expect(result.status == 0, "\(result.errors)")
      adapters.append(result.outputLines.map { String($0.suffix(16)) })
      let skipped = try events("skip", output: output)
      #expect(skipped.map { $0["step"]?.int } == [4, 5])
      #expect(skipped.map { $0["in_row"]?.int } == [1, 2])
      #expect(skipped.allSatisfy { !($0["examples"]?.array ?? []).isEmpty })
      #expect(skipped.allSatisfy { ($0["rank"]?.int ?? -1) < ranks })
    }
    #expect(Set(adapters.joined()).count == 1, "\(adapters)")
  }

  @Test("A run resumed behind skipped updates goes on with the same bits")
  func resumedSkip() throws {
    let lines = ["max_steps: 8", "save_steps: 6", "save_total_limit: 0"]
    let whole = try ProcessRunner.run(
      Self.probe, [try settings(lines, output: "whole"), "poison=3,5"])
    try #require(whole.status == 0, "\(whole.errors)")
    let path = bench.path("whole/checkpoints/step-00000006.h5")
    let again = try ProcessRunner.run(
      Self.probe, [try settings(lines + ["resume: \(path)"], output: "again")])
    #expect(again.outputLines == whole.outputLines, "\(again.errors)")
  }

  @Test("Too many skipped updates in a row end the run, alike on all ranks")
  func diverging() throws {
    let result = try ProcessRunner.mpirun(
      ranks: 2, Self.probe,
      [try settings(["max_steps: 20", "max_skipped_steps: 3"]), "poison=3,100"])
    #expect(result.status == 1)
    #expect(
      result.errors.contains("steps 4 to 7") && result.errors.contains("--max-skipped-steps"),
      "\(result.errors)")
    #expect(try events("skip").count == 4)
  }

  @Test("A run that ends in skipped updates fails, and publishes nothing")
  func endsBadly() throws {
    let result = try ProcessRunner.run(
      Self.probe, [try settings(["max_steps: 8"]), "poison=3,100"])
    #expect(result.status == 1)
    #expect(
      result.errors.contains("steps 4 to 8") && result.errors.contains("has no more of them"),
      "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: bench.path("out/adapter")))
  }

  @Test("A gradient that vanishes is said, and the checkpoint from before it is kept")
  func vanishing() throws {
    let options = [
      "--output-dir", bench.path("out"), "--threads", "1", "--save-steps", "2",
      "--save-total-limit", "2", "--lr-scheduler-type", "constant", "--warmup-steps", "0",
    ]
    let good = try bench.run(options + ["--max-steps", "4"])
    try #require(good.status == 0, "\(good.errors)")
    // All tokens are as likely then, and everything is finite.
    let bad = try bench.run(
      options + [
        "--max-steps", "16", "--learning-rate", "1e6", "--resume", "--allow-changed",
        "learning_rate",
      ])
    #expect(bad.status == 0, "\(bad.errors)")
    let kept = bench.path("out/checkpoints/step-00000004.h5")
    let warnings = bad.errors.split(separator: "\n").filter { $0.contains("the gradient is zero") }
    #expect(
      warnings.count == 1 && warnings.first?.contains("--resume \(kept)") == true, "\(bad.errors)")
    #expect(FileManager.default.fileExists(atPath: kept), "rotated away")
  }

  @Test("After a rate that is far too high, the command that the message names goes on and works")
  func goingBack() throws {
    let first = [
      "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("out"),
      "--global-batch-size", "5", "--num-epochs", "100", "--threads", "1", "--save-steps", "1",
      "--save-total-limit", "2", "--lr-scheduler-type", "constant", "--max-skipped-steps", "2",
      "--logging-steps", "1",
    ]
    let good = try bench.run(first + ["--max-steps", "4", "--learning-rate", "0.01"])
    try #require(good.status == 0, "\(good.errors)")
    // The rate goes wrong in the middle of the run.
    let bad = try bench.run(
      first + [
        "--max-steps", "40", "--learning-rate", "1e38", "--resume", "--allow-changed",
        "learning_rate",
      ])
    try #require(bad.status == 1, "\(bad.status) \(bad.errors)")
    let text = lastLine(bad)
    let start = try #require(text.range(of: "--resume "), "\(text)")
    let command = text[start.lowerBound...].split(separator: " ").map(String.init)
    #expect(command.contains("--allow-changed"))
    #expect(command[1].hasSuffix("step-00000004.h5"), "\(text)")
    #expect(FileManager.default.fileExists(atPath: command[1]), "rotated away")

    var again = first + ["--max-steps", "12"] + command
    let place = try #require(again.lastIndex(of: "--learning-rate"))
    again[place + 1] = "0.005"
    let resumed = try bench.run(again)
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(resumed.errors.contains("learning_rate was 0.01 and is now 0.005"))
    let steps = try events("step").compactMap { $0["step"]?.int }
    #expect(steps == Array(1...12))
    let losses = try events("step").compactMap { $0["loss"]?.double }
    #expect(losses.count == 12)
    // What lay behind is out of the way of the next --resume.
    let names = try FileManager.default.contentsOfDirectory(atPath: bench.path("out/checkpoints"))
    #expect(names.filter { $0.hasSuffix(".h5") }.sorted().last == "step-00000012.h5")
    #expect(names.contains { $0.hasSuffix(".superseded") })
  }

  @Test(
    "Each changed setting is refused by name, with the flag that allows it",
    arguments: [
      ("learning_rate", "learning_rate: 0.5"), ("seed", "seed: 7"),
      ("global_batch_size", "global_batch_size: 4"), ("micro_batch_size", "micro_batch_size: 2"),
      ("micro_batch_tokens", "micro_batch_tokens: 30"),
      ("adam_beta1", "adam_beta1: 0.8"), ("adam_beta2", "adam_beta2: 0.99"),
      ("adam_epsilon", "adam_epsilon: 1e-6"), ("weight_decay", "weight_decay: 0.1"),
      ("max_grad_norm", "max_grad_norm: 2"), ("warmup_steps", "warmup_steps: 3"),
      ("warmup_ratio", "warmup_ratio: 0.5"), ("lr_scheduler_type", "lr_scheduler_type: cosine"),
      ("no_shuffle", "no_shuffle: true"), ("max_length", "max_length: 10"),
      ("precision", "precision: bf16"), ("data", "data: other"), ("method", "method: ia3"),
      ("optimizer", "optimizer: sgd"), ("r", "r: 4"), ("base", "model: other"),
    ])
  func changes(name: String, line: String) throws {
    let first = try ProcessRunner.run(
      Self.probe, [try settings(["max_steps: 2"], output: "first")])
    try #require(first.status == 0, "\(first.errors)")
    var given = line
    if name == "data" {
      try Workbench.writeDataset(to: bench.path("other.h5"), tokenBelow: 20)
      given = "data: \(bench.path("other.h5"))"
    } else if name == "base" {
      let other = bench.path("other")
      try FileManager.default.copyItem(atPath: bench.model, toPath: other)
      var content = try bytes(of: other + "/model.safetensors")
      content[content.count - 3] ^= 1
      try write(content, to: other + "/model.safetensors")
      given = "model: \(other)"
    }
    let resume = "resume: \(bench.path("first/checkpoints/step-00000002.h5"))"
    let refused = try ProcessRunner.run(
      Self.probe, [try settings(["max_steps: 3", given, resume], output: "second")])
    #expect(refused.status == 64, "\(refused.errors)")
    let text = lastLine(refused)
    #expect(text.contains(name == "data" ? "dataset" : name), "\(text)")
    let isStrict = ["method", "optimizer", "r", "base"].contains(name)
    #expect(text.contains("--allow-changed \(name)") != isStrict, "\(text)")
    if isStrict { return }
    let allowed = try ProcessRunner.run(
      Self.probe,
      [
        try settings(
          ["max_steps: 3", given, resume, "allow_changed: \(name)"], output: "third")
      ])
    #expect(allowed.status == 0, "\(allowed.errors)")
  }

  // MARK: The base

  /// A copy of the base that may be spoilt.
  private func copyOfBase() throws -> String {
    let path = bench.path("base")
    try FileManager.default.copyItem(atPath: bench.model, toPath: path)
    return path
  }

  @Test(
    "A byte of the base's file that changes is found before the next checkpoint", arguments: [1, 2])
  func spoiltFile(ranks: Int) throws {
    let base = try copyOfBase()
    let arguments = [
      try settings(["model: \(base)", "max_steps: 9", "save_steps: 2"]),
      "spoil=3,\(base)/model.safetensors",
    ]
    let result =
      ranks == 1
      ? try ProcessRunner.run(Self.probe, arguments)
      : try ProcessRunner.mpirun(ranks: 2, Self.probe, arguments)
    #expect(result.status == 1, "\(result.errors)")
    #expect(
      result.errors.contains("tensor '") && result.errors.contains("\(base)/model.safetensors")
        && result.errors.contains("after step 2"), "\(result.errors)")
    let saved = try FileManager.default.contentsOfDirectory(atPath: bench.path("out/checkpoints"))
    #expect(saved.filter { $0.hasSuffix(".h5") } == ["step-00000002.h5"])
  }

  @Test("A bit of a vector that a rank keeps in memory is found before the next checkpoint")
  func flippedVector() throws {
    let result = try ProcessRunner.mpirun(
      ranks: 2, Self.probe,
      [try settings(["max_steps: 9", "save_steps: 4"]), "flip=1,1,vector,0"])
    #expect(result.status == 1, "\(result.errors)")
    #expect(
      result.errors.contains(
        "[rank 1/2] The base changed while it was used: the copy in memory of '")
        && result.errors.contains("the beginning"), "\(result.errors)")
  }

  @Test("A base that is cut under a run ends it with the file's name, not with SIGBUS")
  func truncated() throws {
    let base = try copyOfBase()
    let process = try ProcessRunner.start(
      Workbench.program,
      [
        "--model", base, "--data", bench.data, "--output-dir", bench.path("out"),
        "--num-epochs", "100000", "--threads", "2", "--logging-steps", "1000",
      ])
    let metrics = bench.path("out/metrics.jsonl")
    try #require(
      process.waitUntil { _ in FileManager.default.fileExists(atPath: metrics) })
    try #require(unsafe truncate(base + "/model.safetensors", 100) == 0)
    let result = try process.wait(timeoutSeconds: 30).requireFinished()
    #expect(result.status == 65, "\(result.status) \(result.errors)")
    #expect(
      lastLine(result).contains("\(base)/model.safetensors can no longer be read"),
      "\(result.errors)")
  }
}
