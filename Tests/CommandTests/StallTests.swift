import Foundation
import JSON
import TestSupport
import Testing

/// Ranks that do not get on: the job ends by itself, and says which rank it was.
@Suite("A rank that stalls ends the job and is named", .serialized)
struct StallTests {
  private static let probe = ProcessRunner.built("training-probe")
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func settings(_ lines: [String]) throws -> String {
    let path = bench.path("run-\(UUID().uuidString).yaml")
    let common = [
      "model: \(bench.model)", "data: \(bench.data)", "output_dir: \(bench.path("out"))",
      "global_batch_size: 5", "threads: 1", "logging_steps: 0", "num_epochs: 100",
      "learning_rate: 0.02", "stall_timeout: 3s",
    ]
    try (common + lines).joined(separator: "\n").write(
      toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  /// The lines that the program itself wrote.
  private func messages(_ result: ProcessResult) -> [String] {
    result.errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("[rank ") }
  }

  @Test(
    "Stopped by SIGSTOP, lost in a computation, waiting in another place",
    arguments: [
      ("stop", "rank 1 of 3 (on ", "shows no sign of life for 3s", "last seen in step 2"),
      ("loop", "rank 1 of 3 (on ", "made no progress for 3s", "in step 2"),
      ("stray", "All ranks of ", "wait for each other", "rank 1 in step 2"),
    ])
  func stalls(what: String, name: String, fact: String, place: String) throws {
    let began = Date()
    let result = try ProcessRunner.mpirun(
      ranks: 3, Self.probe, [try settings(["max_steps: 8"]), "stall=1,2,\(what)"])
    #expect(result.status != 0)
    #expect(Date().timeIntervalSince(began) < 100 * ProcessRunner.timeoutScale)
    let text = try #require(messages(result).first, "\(result.errors)")
    #expect(text.contains(name) && text.contains(fact) && text.contains(place), "\(text)")
    #expect(text.contains("--resume"))
    #expect(messages(result).count == 1, "\(result.errors)")
  }

  @Test("A process alone that does not get on says so, and ends with 1")
  func alone() throws {
    let result = try ProcessRunner.run(
      Self.probe, [try settings(["max_steps: 8"]), "stall=0,2,loop"], timeoutSeconds: 60)
    #expect(result.status == 1)
    #expect(
      result.errors.contains("rank 0 of 1") && result.errors.contains("in step 2"),
      "\(result.errors)")
  }

  @Test("A job that stands still as a whole and is let go on is not ended")
  func suspended() throws {
    let process = try ProcessRunner.start(
      Workbench.program,
      bench.options(output: bench.path("out")) + [
        "--num-epochs", "10000", "--max-steps", "4000", "--stall-timeout", "2s", "--threads", "1",
        "--logging-steps", "0",
      ])
    let metrics = bench.path("out/metrics.jsonl")
    try #require(
      process.waitUntil { _ in FileManager.default.fileExists(atPath: metrics) })
    process.send(signal: SIGSTOP)
    usleep(5_000_000)
    process.send(signal: SIGCONT)
    let result = try process.wait(timeoutSeconds: 120).requireFinished()
    #expect(result.status == 0, "\(result.errors)")
  }
}
