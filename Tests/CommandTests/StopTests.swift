import Foundation
import JSON
import TestSupport
import Testing

@Suite("A run that is asked to stop saves a checkpoint and goes on from it", .serialized)
struct StopTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// A run long enough to be caught in the middle.
  private func options(_ output: String) -> [String] {
    bench.options(output: bench.path(output)) + [
      "--num-epochs", "10000", "--max-steps", "2500", "--threads", "1", "--logging-steps", "1000",
    ]
  }

  /// The last line of a run's metrics.
  private func end(_ output: String) throws -> JSONValue {
    let lines = try bench.metrics(bench.path(output))
    return try #require(lines.last { $0["event"] == "end" })
  }

  @Test(
    "SIGUSR1 and SIGTERM end it with 75; resumed, it ends with the bytes of an uninterrupted one")
  func alone() throws {
    let whole = try bench.run(options("whole"))
    try #require(whole.status == 0, "\(whole.errors)")
    for (name, signal) in [("user", SIGUSR1), ("term", SIGTERM)] {
      let process = try ProcessRunner.start(Workbench.program, options(name))
      let metrics = bench.path("\(name)/metrics.jsonl")
      let hasBegun = process.waitUntil(timeoutSeconds: 60) { _ in
        FileManager.default.fileExists(atPath: metrics)
      }
      try #require(hasBegun)
      process.send(signal: signal)
      let stopped = try process.wait(timeoutSeconds: 60).requireFinished()
      #expect(stopped.status == 75, "\(stopped.errors)")
      #expect(lastLine(stopped).contains("--resume"), "\(stopped.errors)")
      let step = try #require(try end(name)["step"]?.int)
      #expect(try end(name)["status"] == "stopped_on_request" && step < 2500)
      #expect(
        FileManager.default.fileExists(
          atPath: bench.path("\(name)/checkpoints/step-\(String(format: "%08d", step)).h5")))

      let resumed = try bench.mpirun(ranks: 2, options(name) + ["--resume"])
      #expect(resumed.status == 0, "\(resumed.errors)")
      #expect(resumed.errors.contains("after step \(step)"), "\(resumed.errors)")
      #expect(try end(name)["status"] == "completed")
      // What each rank did since, for the report's balance.
      let work = try end(name)["rank_micro_batches"]?.array?.compactMap(\.int) ?? []
      #expect(work.count == 2 && work.reduce(0, +) >= 2500 - step, "\(work)")
      #expect(
        try bytes(of: bench.path("\(name)/adapter/adapter_model.safetensors"))
          == bytes(of: bench.path("whole/adapter/adapter_model.safetensors")))
    }
  }

  @Test("A signal to one rank of three stops all of them, with 75")
  func oneRank() throws {
    let output = bench.path("out")
    let script = """
      if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then
        rank=$$
        (until [ -s \(output)/metrics.jsonl ]; do sleep 0.05; done; kill -USR1 "$rank") &
      fi
      exec "$0" "$@"
      """
    let result = try ProcessRunner.mpirun(
      ranks: 3, URL(fileURLWithPath: "/bin/sh"),
      ["-c", script, Workbench.program.path] + options("out"))
    #expect(result.status == 75, "\(result.errors)")
    #expect(try end("out")["status"] == "stopped_on_request")
  }
}
