import Foundation
import JSON

/// Hugging Face PEFT on a job: `peers/peft_peer.py` under some Python.
package struct PeerProgram: Sendable {
  /// Processes and threads of each.
  struct Layout: Sendable, Hashable {
    let processes: Int
    let threads: Int

    var text: String { "\(processes) x \(threads)" }
  }

  private static let remedy =
    "Give --python a Python with the packages of Benchmarks/peers/requirements.txt."

  private let python: String
  private let script: String

  /// Methods that PEFT has; `full` is plain transformers.
  package static let methods = MethodChoice.names.filter { $0 != "bottleneck" }

  /// - Parameters:
  ///   - python: an interpreter with the packages of `peers/requirements.txt`.
  ///   - script: `peft_peer.py`.
  /// - Throws: where one of them is not there.
  package init(python: String, script: String) throws {
    guard FileManager.default.fileExists(atPath: script) else {
      throw BenchmarkError.missingProgram(
        path: script, remedy: "Run from the repository's root, or give another with --script.")
    }
    do {
      _ = try Subprocess(command: [python, "-c", "import h5py, peft, torch, transformers"]).run()
    } catch BenchmarkError.programFailed(_, 127, _) {
      throw BenchmarkError.missingProgram(path: python, remedy: PeerProgram.remedy)
    } catch {
      throw BenchmarkError.unreadable(what: python, reason: "\(PeerProgram.remedy)\n\(error)")
    }
    self.python = python
    self.script = script
  }

  /// The layouts worth trying: one process with all threads, and a process a core.
  static func layouts(batchSize: Int, cores: Int) -> [Layout] {
    let processes = (1...min(batchSize, cores)).last { batchSize % $0 == 0 } ?? 1
    let all = Layout(processes: 1, threads: cores)
    return processes == 1
      ? [all] : [all, Layout(processes: processes, threads: max(1, cores / processes))]
  }

  /// The packages' versions, by name.
  package func versions() throws -> [String: String] {
    let output = try Subprocess(command: [python, script, "--versions"]).run()
    let value = try JSONValue(parsing: Data(output.text.utf8))
    return (value.object ?? [:]).compactMapValues(\.string)
  }

  /// Trains some steps.
  func run(_ task: Task, _ layout: Layout, _ steps: StepCounts) throws -> RunFigures {
    let output = try Subprocess(command: [
      python, script, "--model", task.files.model, "--data", task.files.data, "--method",
      task.method, "--precision", task.precision.rawValue, "--threads", "\(layout.threads)",
      "--processes", "\(layout.processes)", "--batch", "\(task.job.batchSize)", "--steps",
      "\(steps.timed)", "--warmup", "\(steps.warmUp)",
    ]).run()
    // Libraries may say something first.
    let last = output.text.split(separator: "\n").last.map(String.init) ?? ""
    let value = try JSONValue(parsing: Data(last.utf8))
    let tokens = value["step_tokens"]?.array?.compactMap(\.int) ?? []
    let seconds = value["step_seconds"]?.array?.compactMap(\.double) ?? []
    guard tokens.count == steps.timed, seconds.count == steps.timed,
      let loss = value["first_loss"]?.double, let memory = value["peak_memory_bytes"]?.int
    else { throw BenchmarkError.unreadable(what: "the peer on \(task.text)", reason: last) }
    return RunFigures(
      stepTokens: tokens, stepSeconds: seconds, stepOperations: [], firstLoss: loss,
      peakMemoryBytes: memory,
      trainableParameters: value["trainable_parameters"]?.int ?? 0)
  }
}
