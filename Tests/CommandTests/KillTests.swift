import Foundation
import JSON
import TestSupport
import Testing

/// A job that is killed or asked to stop at random moments, again and again, on changing numbers of
/// ranks, and then goes on to the bytes of an undisturbed one.
///
/// The test command disturbs a few jobs; `make torture N=1000` a thousand, over all methods.
@Suite("Killed anywhere, resumed to the same bytes", .serialized)
struct KillTests {
  private static let count = Torture.count ?? 6
  /// Disturbances before a job is let alone.
  private static let mostInJob = 4

  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private enum Harm: CaseIterable {
    case job, rank, user, term, interrupt

    var isKill: Bool { self == .job || self == .rank }

    var signal: Int32 {
      switch self {
      case .job, .rank: SIGKILL
      case .user: SIGUSR1
      case .term: SIGTERM
      case .interrupt: SIGINT
      }
    }
  }

  private func arguments(_ method: MethodCase, _ output: String) -> [String] {
    [
      "--model", bench.model, "--data", bench.data, "--output-dir", bench.path(output),
      "--global-batch-size", "5", "--num-epochs", "1000", "--max-steps", "12", "--learning-rate",
      "0.01", "--save-steps", "1", "--save-total-limit", "2", "--eval-steps", "5",
      "--load-best-model-at-end", "--logging-steps", "1", "--threads", "1", "--resume",
    ] + method.arguments
  }

  /// The bytes of what the run leaves, by name.
  private func result(_ output: String) throws -> [String: Data] {
    let folder = bench.path("\(output)/adapter")
    return Dictionary(
      uniqueKeysWithValues: try FileManager.default.contentsOfDirectory(atPath: folder)
        .filter { $0.hasSuffix(".safetensors") }
        .map { ($0, try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)"))) })
  }

  private func start(_ ranks: Int, _ arguments: [String]) throws -> RunningProcess {
    if ranks == 1 { return try ProcessRunner.start(Workbench.program, arguments) }
    return try ProcessRunner.start(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "\(ranks)", Workbench.program.path]
        + arguments,
      environment: ProcessRunner.mpirunEnvironment)
  }

  /// The processes that a process has started, and those that they have started.
  private func descendants(of process: pid_t) -> [pid_t] {
    let list = "/proc/\(process)/task/\(process)/children"
    let children = (try? String(contentsOfFile: list, encoding: .utf8)) ?? ""
    return children.split(separator: " ").compactMap { pid_t($0) }.flatMap {
      [$0] + descendants(of: $0)
    }
  }

  /// The ranks of a job: those of its processes that run the program.
  private func ranks(of process: pid_t) -> [pid_t] {
    ([process] + descendants(of: process)).filter {
      let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/exe")
      return path.map { $0.hasSuffix("/swift-peft-train") } ?? false
    }
  }

  /// Does harm after some milliseconds; says whether it met a process that was alive.
  private func disturb(
    _ process: RunningProcess, _ harm: Harm, after milliseconds: Int, choice: Int
  ) throws -> Bool {
    usleep(useconds_t(1000 * milliseconds))
    let ranks = ranks(of: process.identifier)
    guard !ranks.isEmpty, !process.hasEnded else { return false }
    switch harm {
    case .job:
      for rank in descendants(of: process.identifier) + [process.identifier] { kill(rank, SIGKILL) }
    case .rank: kill(ranks[choice % ranks.count], SIGKILL)
    case .user: kill(ranks[choice % ranks.count], SIGUSR1)
    case .term, .interrupt:
      // To the ranks, since mpirun would answer these with SIGKILL.
      for rank in ranks { kill(rank, harm.signal) }
    }
    return true
  }

  /// Ends an mpirun that has outlived its ranks by a minute: that of Open MPI 4.1 locks itself up once in
  /// some thousand jobs, in `PMIx_server_finalize`, when there is nothing of ours left.
  private func endStuckLauncher(_ process: RunningProcess) -> Bool {
    var lastRank = Date()
    _ = process.waitUntil(timeoutSeconds: 110) {
      if !ranks(of: $0.identifier).isEmpty { lastRank = Date() }
      return $0.hasEnded || Date().timeIntervalSince(lastRank) > 60
    }
    guard !process.hasEnded, Date().timeIntervalSince(lastRank) > 60 else { return false }
    kill(process.identifier, SIGKILL)
    return true
  }

  @Test("At random moments, on one to four ranks, by every method")
  func disturbing() throws {
    var references: [String: [String: Data]] = [:]
    var state = Torture.State(name: "kills")
    var (kills, requests, resumes, unequal, stuck) = (0, 0, 0, 0, 0)
    var job = 0
    while state.done < Self.count {
      var random = Mutation(seed: UInt64(1_000_000 * job + state.done))
      job += 1
      let method = MethodCase.all[random.below(MethodCase.all.count)]
      let began = Date()
      if references[method.name] == nil {
        let whole = try bench.run(arguments(method, method.name))
        try #require(whole.status == 0, "\(method): \(whole.errors)")
        references[method.name] = try result(method.name)
      }
      let seconds = max(0.3, Date().timeIntervalSince(began))
      let output = "job"
      var history: [String] = []
      for _ in 0..<(1 + random.below(Self.mostInJob)) where state.done < Self.count {
        let count = 1 + random.below(4)
        let harm = Harm.allCases[random.below(Harm.allCases.count)]
        let delay = random.below(Int(1300 * (count == 1 ? seconds : seconds + 1)))
        let process = try start(count, arguments(method, output))
        let hasMet = try disturb(process, harm, after: delay, choice: random.below(4))
        if count > 1, endStuckLauncher(process) { stuck += 1 }
        let end = try process.wait(timeoutSeconds: 120).requireFinished()
        history.append("\(count) ranks, \(harm) after \(delay) ms: \(end.status)")
        resumes += 1
        guard hasMet else { continue }
        state.done += 1
        if harm.isKill { kills += 1 } else { requests += 1 }
        if end.status != 0, !harm.isKill {
          // Until the loader is done a signal kills, and mpirun then tells so by a status of its own.
          #expect(
            end.status == 75 || end.status >= 128, "\(method): \(history): \(end.errors)")
        }
      }
      let last = try bench.mpirun(ranks: 1 + random.below(4), arguments(method, output))
      #expect(last.status == 0, "\(method): \(history): \(last.errors.suffix(1500))")
      if last.status == 0 {
        let found = try result(output)
        if found != references[method.name] { unequal += 1 }
        #expect(found == references[method.name], "\(method): \(history)")
        let metrics = try bench.metrics(bench.path(output))
        for (event, expected) in [("step", Array(1...12)), ("eval", [5, 10, 12])] {
          let steps = metrics.filter { $0["event"]?.string == event }
            .compactMap { $0["step"]?.int }
          #expect(steps == expected, "\(method): \(history): \(event) \(steps)")
        }
      }
      let names = try FileManager.default.subpathsOfDirectory(atPath: bench.path(output))
      #expect(!names.contains { $0.contains(".partial-") }, "\(method): \(history)")
      try FileManager.default.removeItem(atPath: bench.path(output))
    }
    print(
      "\(kills) kills and \(requests) requests to stop in \(job) jobs (\(state.done) with earlier starts), \(resumes) starts, \(unequal) unequal results, \(stuck) times mpirun did not end after its ranks"
    )
  }
}
