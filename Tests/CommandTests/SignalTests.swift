import Foundation
import JSON
import TestSupport
import Testing

/// Signals at any moment, and the time limit: what was done is kept, what was half done goes.
@Suite("Signals and the time limit", .serialized)
struct SignalTests {
  private let bench: Workbench
  private let manager = FileManager.default

  init() throws { bench = try Workbench() }

  private func options(_ output: String, _ more: [String] = []) -> [String] {
    [
      "--model", bench.model, "--data", bench.data, "--output-dir", bench.path(output),
      "--global-batch-size", "5", "--num-epochs", "10000", "--threads", "1", "--logging-steps",
      "1000", "--learning-rate", "0.01",
    ] + more
  }

  /// Whether a process has a handler for a signal.
  private func catches(_ signal: Int32, _ process: pid_t) -> Bool {
    let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    let line = status?.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
    let mask = line?.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) } ?? 0
    return mask & (1 << UInt64(signal - 1)) != 0
  }

  private func adapter(_ output: String) throws -> [UInt8] {
    try bytes(of: bench.path("\(output)/adapter/adapter_model.safetensors"))
  }

  @Test("From the first moments on a signal stops a run with 75, and it goes on to the same bytes")
  func moments() throws {
    let limit = ["--max-steps", "120", "--eval-steps", "7", "--load-best-model-at-end"]
    let whole = try bench.run(options("whole", limit))
    try #require(whole.status == 0, "\(whole.errors)")
    var (stopped, finished) = (0, 0)
    for (index, signal) in [SIGUSR1, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGINT].enumerated() {
      let name = "run\(index)"
      let process = try ProcessRunner.start(Workbench.program, options(name, limit))
      // Until the loader is done, which takes some milliseconds, any signal kills.
      try #require(process.waitUntil { catches(SIGUSR1, $0.identifier) })
      usleep(useconds_t(90_000 * index))
      process.send(signal: signal)
      let result = try process.wait(timeoutSeconds: 60).requireFinished()
      #expect([0, 75].contains(result.status), "\(signal): \(result.status) \(result.errors)")
      if result.status == 75 {
        stopped += 1
        #expect(result.errors.contains("--resume"), "\(result.errors)")
        let again = try bench.run(options(name, limit + ["--resume"]))
        #expect(again.status == 0, "\(again.errors)")
      } else {
        finished += 1
      }
      #expect(try adapter(name) == adapter("whole"), "signal \(signal), moment \(index)")
    }
    #expect(stopped > 0, "every run was over before its signal")
  }

  @Test("A second SIGINT ends at once, by the signal")
  func second() throws {
    let process = try ProcessRunner.start(Workbench.program, options("out"))
    let metrics = bench.path("out/metrics.jsonl")
    try #require(process.waitUntil { _ in manager.fileExists(atPath: metrics) })
    process.send(signal: SIGINT)
    process.send(signal: SIGINT)
    // Two that come together count as one.
    usleep(1000)
    process.send(signal: SIGINT)
    let result = try process.wait(timeoutSeconds: 30).requireFinished()
    #expect([128 + SIGINT, 75].contains(result.status), "\(result.status) \(result.errors)")
  }

  @Test("A run stops before its time limit, on two ranks alike, and goes on")
  func timeLimit() throws {
    let began = Date()
    let result = try bench.mpirun(ranks: 2, options("out", ["--time-limit", "5s"]))
    #expect(result.status == 75, "\(result.errors)")
    #expect(Date().timeIntervalSince(began) < 5 * ProcessRunner.timeoutScale + 5)
    let end = try #require(try bench.metrics(bench.path("out")).last)
    #expect(end["status"] == "stopped_on_request")
    let step = try #require(end["step"]?.int)
    // Asked again before its next step, on other ranks: there is nothing to save, on none of them.
    let idle = try bench.mpirun(ranks: 3, options("out", ["--resume", "--time-limit", "1s"]))
    #expect(idle.status == 75, "\(idle.errors)")
    #expect(try bench.metrics(bench.path("out")).last?["step"]?.int == step)
    let again = try bench.run(options("out", ["--resume", "--max-steps", "\(step + 2)"]))
    #expect(again.status == 0, "\(again.errors)")
    #expect(again.errors.contains("on 1 rank in place of 2"), "\(again.errors)")
  }

  @Test("A stop after a step leaves that step's line, and its evaluation to the next start")
  func owed() throws {
    for limit in ["2s", "2.1s", "2.3s"] {
      let more = ["--logging-steps", "1", "--eval-steps", "1", "--micro-batch-size", "5"]
      let stopped = try bench.run(options(limit, more + ["--time-limit", limit]))
      #expect(stopped.status == 75, "\(stopped.errors)")
      let step = try #require(try bench.metrics(bench.path(limit)).last?["step"]?.int)
      let again = try bench.run(options(limit, more + ["--resume", "--max-steps", "\(step + 2)"]))
      #expect(again.status == 0, "\(again.errors)")
      let metrics = try bench.metrics(bench.path(limit))
      for event in ["step", "eval"] {
        let steps = metrics.filter { $0["event"]?.string == event }.compactMap { $0["step"]?.int }
        #expect(steps == Array(1...step + 2), "\(event) \(limit)")
      }
    }
  }

  @Test("auto asks Slurm for the end of the job, and says where it does not answer")
  func slurm() throws {
    let end = Int(Date().timeIntervalSince1970) + 6
    let result = try bench.run(
      options("out", ["--time-limit", "auto"]), environment: ["SLURM_JOB_END_TIME": "\(end)"])
    #expect(result.status == 75, "\(result.errors)")
    let none = try bench.run(options("none", ["--time-limit", "auto", "--max-steps", "1"]))
    #expect(none.status == 64)
    #expect(lastLine(none).contains("--time-limit auto") && lastLine(none).contains("3h50m"))

    // The tools answer where the variable is missing, as before Slurm 22.05.
    let tools = bench.path("tools")
    try manager.createDirectory(atPath: tools, withIntermediateDirectories: false)
    try write("#!/bin/sh\necho 0:06\n".utf8, to: tools + "/squeue")
    try manager.setAttributes([.posixPermissions: 0o755], ofItemAtPath: tools + "/squeue")
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let asked = try bench.run(
      options("asked", ["--time-limit", "auto"]),
      environment: ["SLURM_JOB_ID": "7", "PATH": "\(tools):\(path)"])
    #expect(asked.status == 75, "\(asked.errors)")
  }

  @Test("compare stops with 75 and goes on with --resume to the same table")
  func compare() throws {
    func arguments(_ output: String) -> [String] {
      [
        "compare", "--model", bench.model, "--data", bench.data, "--output-dir",
        bench.path(output), "--methods", "ia3,lora", "--global-batch-size", "5", "--num-epochs",
        "1000", "--max-steps", "60", "--threads", "1", "--max-score-examples", "0",
      ]
    }
    let whole = try bench.run(arguments("whole"))
    try #require(whole.status == 0, "\(whole.errors)")
    let process = try ProcessRunner.start(Workbench.program, arguments("out"))
    let metrics = bench.path("out/lora/metrics.jsonl")
    try #require(process.waitUntil { _ in manager.fileExists(atPath: metrics) })
    process.send(signal: SIGTERM)
    let stopped = try process.wait(timeoutSeconds: 60).requireFinished()
    try #require(stopped.status == 75, "\(stopped.status) \(stopped.errors)")
    let again = try bench.run(arguments("out") + ["--resume"])
    #expect(again.status == 0, "\(again.errors)")
    #expect(again.errors.contains("ia3 is finished"), "\(again.errors)")
    for name in ["ia3", "lora"] {
      #expect(try adapter("out/\(name)") == adapter("whole/\(name)"))
    }
  }

  /// What a signal may leave of a command that has nothing to go on from.
  private func ends(_ arguments: [String], output: String, input: String? = nil) throws {
    for (index, signal) in [SIGTERM, SIGINT, SIGUSR1].enumerated() {
      let process = try ProcessRunner.start(Workbench.program, arguments)
      // In the middle of the work, where something partial is there.
      let hasBegun = process.waitUntil(timeoutSeconds: 20) { _ in
        leftovers().count > 0 || manager.fileExists(atPath: bench.path(output))
      }
      usleep(useconds_t(1000 * index))
      process.send(signal: signal)
      let result = try process.wait(timeoutSeconds: 30).requireFinished()
      #expect(hasBegun)
      #expect([128 + signal, 0].contains(result.status), "\(result.status) \(result.errors)")
      #expect(leftovers() == [], "after \(signal)")
      #expect(
        manager.fileExists(atPath: bench.path(output)) == (result.status == 0),
        "after \(signal): \(result.status)")
      try? manager.removeItem(atPath: bench.path(output))
    }
  }

  private func leftovers() -> [String] {
    let names = (try? manager.subpathsOfDirectory(atPath: bench.directory.path)) ?? []
    return names.filter { $0.contains(".partial-") }
  }

  @Test("prepare ends by the signal and leaves nothing, also while it waits for rows")
  func prepare() throws {
    let pipe = bench.path("rows")
    try #require(unsafe mkfifo(pipe, 0o600) == 0)
    // Somebody who holds the pipe open and writes nothing.
    let holder = unsafe open(pipe, O_RDWR)
    defer { close(holder) }
    try ends(
      [
        "prepare", "--tokenizer", fixturePath("tokenizers/gpt2.json"), "--no-append-eos",
        "--input", pipe, "--output", bench.path("rows.h5"),
      ], output: "rows.h5")
  }

  @Test("plan, which has nothing to go on with, ends by the signal")
  func plan() throws {
    for milliseconds in [20, 60, 150] {
      let process = try ProcessRunner.start(
        Workbench.program, ["plan", "--model", bench.model, "--data", bench.data])
      usleep(useconds_t(1000 * milliseconds))
      process.send(signal: SIGTERM)
      let result = try process.wait(timeoutSeconds: 30).requireFinished()
      // It may have ended before.
      #expect([128 + SIGTERM, 0].contains(result.status), "\(result.status) \(result.errors)")
    }
  }

  @Test("merge and export end by the signal and leave nothing")
  func merge() throws {
    let run = try bench.run(options("run", ["--max-steps", "2"]))
    try #require(run.status == 0, "\(run.errors)")
    try ends(
      [
        "merge", "--model", bench.model, "--adapter", bench.path("run/adapter"), "--output-dir",
        bench.path("merged"),
      ], output: "merged")
    try ends(
      [
        "export", bench.path("run/checkpoints/step-00000002.h5"), "--output-dir",
        bench.path("exported"),
      ], output: "exported")
  }

  @Test("A file that may not grow is an output that cannot be written, not a death without a word")
  func fileSize() throws {
    let script = "ulimit -f 24; exec \"$0\" \"$@\""
    let result = try ProcessRunner.run(
      URL(fileURLWithPath: "/bin/sh"),
      ["-c", script, Workbench.program.path] + options("out", ["--max-steps", "2", "--r", "64"]))
    #expect(result.status == 73, "\(result.status) \(result.errors)")
    #expect(lastLine(result).contains(bench.path("out")), "\(result.errors)")
    #expect(lastLine(result).contains("File too large"), "\(result.errors)")
    #expect(lastLine(result).count < 400, "\(lastLine(result))")
  }

  @Test("A log that can no longer be written does not end a run")
  func log() throws {
    let script = "exec \"$0\" \"$@\" 2>/dev/full"
    let result = try ProcessRunner.run(
      URL(fileURLWithPath: "/bin/sh"),
      ["-c", script, Workbench.program.path] + options("out", ["--max-steps", "2"]))
    #expect(result.status == 0)
    #expect(try adapter("out").count > 0)
  }
}
