import Foundation
import JSON

/// `swift-peft-train` as users run it: a process of its own, under `mpirun` where there are ranks.
///
/// So that what is measured is what users get, start, files and metrics included; the figures are
/// those that the program itself writes to `metrics.jsonl`.
package struct TrainerProgram: Sendable {
  /// The program's file.
  package let path: String
  /// Where runs write; emptied after each.
  package let directory: String

  /// - Throws: where there is no program.
  package init(path: String, directory: String) throws {
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw BenchmarkError.missingProgram(
        path: path,
        remedy: "Build it first: swift build -c release --product swift-peft-train, or give "
          + "another path with --program.")
    }
    self.path = path
    self.directory = directory
  }

  /// The program beside this one, where the build puts both.
  package static var defaultPath: String {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .appendingPathComponent("swift-peft-train").path
  }

  /// What a run wrote, and when.
  struct Trace {
    let metrics: [JSONValue]
    /// Seconds from the start of the program to its first step.
    let secondsToFirstStep: Double?
  }

  /// Trains some steps.
  package func run(_ task: Task, _ setting: Setting, _ steps: StepCounts) throws -> RunFigures {
    let trace = try trace(task, setting, steps: steps.total)
    let lines = trace.metrics.filter { $0["event"]?.string == "step" }
    let run = trace.metrics.first { $0["event"]?.string == "run" }
    guard lines.count == steps.total, let run, let loss = lines[0]["loss"]?.double else {
      throw BenchmarkError.unreadable(
        what: "metrics of \(task.text)", reason: "\(lines.count) steps of \(steps.total)")
    }
    guard run["precision"]?.string == task.precision.rawValue else {
      throw BenchmarkError.unreadable(
        what: "metrics of \(task.text)",
        reason: "it ran in \(run["precision"]?.string ?? "another precision")")
    }
    var (tokens, seconds, operations): ([Int], [Double], [Double]) = ([], [], [])
    for index in steps.warmUp..<steps.total {
      let before = index > 0 ? lines[index - 1]["tokens"]?.int ?? 0 : 0
      let count = (lines[index]["tokens"]?.int ?? 0) - before
      tokens.append(count)
      let time = Double(count) / (lines[index]["tokens_per_second"]?.double ?? .nan)
      seconds.append(time)
      if let rate = lines[index]["useful_flops_per_second"]?.double {
        operations.append(rate * time)
      }
    }
    return RunFigures(
      stepTokens: tokens, stepSeconds: seconds, stepOperations: operations, firstLoss: loss,
      peakMemoryBytes: lines[steps.total - 1]["peak_memory_bytes"]?.int ?? 0,
      trainableParameters: run["trainable_parameters"]?.int ?? 0)
  }

  /// Seconds from the start of the program, or of `mpirun`, to its first step.
  package func secondsToFirstStep(_ task: Task, _ setting: Setting) throws -> Double {
    guard let seconds = try trace(task, setting, steps: 1).secondsToFirstStep else {
      throw BenchmarkError.unreadable(what: "metrics of \(task.text)", reason: "no line came")
    }
    return seconds
  }

  private func trace(_ task: Task, _ setting: Setting, steps: Int) throws -> Trace {
    let output = "\(directory)/run-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: output) }
    let command = [path, "train"] + arguments(task, setting, steps: steps, output: output)
    let process =
      setting.ranks > 1
      ? Subprocess.mpirun(ranks: setting.ranks, command) : Subprocess(command: command)
    let metricsPath = "\(output)/metrics.jsonl"
    // The first line is written when everything is ready for the first step.
    var first: Double?
    _ = try process.run { seconds in
      if TrainerProgram.size(of: metricsPath) > 0 { first = seconds }
      return first == nil
    }
    let text = (try? String(contentsOfFile: metricsPath, encoding: .utf8)) ?? ""
    let lines = try text.split(separator: "\n").map { try JSONValue(parsing: Data($0.utf8)) }
    return Trace(metrics: lines, secondsToFirstStep: first)
  }

  private func arguments(
    _ task: Task, _ setting: Setting, steps: Int, output: String
  ) -> [String] {
    let file = task.base.flatMap { $0.hasSuffix(".gguf") ? $0 : nil }
    let quantization = file == nil ? task.base.map { ["--quantize-base", $0] } ?? [] : []
    return [
      "--model", file ?? task.files.model, "--data", task.files.data, "--output-dir", output,
      "--precision", task.precision.rawValue, "--threads", "\(setting.threads)",
      "--global-batch-size", "\(task.job.batchSize)",
      "--micro-batch-size", "\(setting.microBatch)", "--max-steps", "\(steps)",
      "--num-epochs", "1000", "--no-shuffle", "--logging-steps", "1", "--learning-rate", "1e-4",
    ] + MethodChoice.options(task.method, shape: task.job.shape) + quantization
  }

  private static func size(of path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}
