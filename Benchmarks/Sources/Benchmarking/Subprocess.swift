import Foundation
import Synchronization

/// Programs that a benchmark starts: the trainer, `mpirun`, Python.
struct Subprocess {
  /// What a program wrote, once it has ended well.
  struct Output {
    let text: String
    let seconds: Double
  }

  /// The program and its arguments; a name without a slash is looked up in `PATH`.
  let command: [String]
  /// Variables added to the environment.
  var environment: [String: String] = [:]

  /// How many ranks of a program `mpirun` starts on this machine, bound to no core.
  static func mpirun(ranks: Int, _ command: [String]) -> Subprocess {
    // Open MPI refuses root unless told twice; in a container root is all there is.
    let variables =
      getuid() == 0
      ? ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"] : [:]
    return Subprocess(
      command: ["mpirun", "--bind-to", "none", "--oversubscribe", "-n", "\(ranks)"] + command,
      environment: variables)
  }

  /// Runs the program to its end.
  ///
  /// - Parameter whileRunning: called about every millisecond as long as it returns true, for looking
  ///   takes time from the program; nil waits without looking.
  /// - Throws: where it cannot be started, and where its status is not 0.
  func run(whileRunning: ((_ seconds: Double) -> Bool)? = nil) throws -> Output {
    let scratch = NSTemporaryDirectory() + "/benchmark-\(UUID().uuidString)"
    let (outputPath, errorPath) = (scratch + ".out", scratch + ".err")
    defer {
      try? FileManager.default.removeItem(atPath: outputPath)
      try? FileManager.default.removeItem(atPath: errorPath)
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    // Files, not pipes: nobody must read while it runs, which would take time from it.
    process.standardOutput = try Subprocess.file(outputPath)
    process.standardError = try Subprocess.file(errorPath)
    let clock = ContinuousClock()
    let start = clock.now
    try process.run()
    RunningChild.shared.set(process.processIdentifier)
    defer { RunningChild.shared.set(nil) }
    if let whileRunning {
      while process.isRunning, whileRunning((clock.now - start) / .seconds(1)) { usleep(1000) }
    }
    process.waitUntilExit()
    let seconds = (clock.now - start) / .seconds(1)
    let text = (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? ""
    guard process.terminationStatus == 0 else {
      let errors = (try? String(contentsOfFile: errorPath, encoding: .utf8)) ?? ""
      let tail = (text + errors).split(separator: "\n").suffix(12).joined(separator: "\n")
      throw BenchmarkError.programFailed(
        command: command.joined(separator: " "), status: process.terminationStatus, tail: tail)
    }
    return Output(text: text, seconds: seconds)
  }

  private static func file(_ path: String) throws -> FileHandle {
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
  }
}

/// The program that runs at the moment: it ends when this one is told to.
///
/// Foundation starts programs in process groups of their own, which a terminal's interrupt does not
/// reach.
private struct RunningChild: ~Copyable {
  static let shared = RunningChild()

  private let identifier = Atomic<pid_t>(0)

  private init() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // Nothing here but what a signal handler may do.
      signal(number) { number in
        let child = RunningChild.shared.identifier.load(ordering: .relaxed)
        if child > 0 { kill(-child, SIGTERM) }
        _exit(128 + number)
      }
    }
  }

  /// - Parameter identifier: nil once it has ended.
  func set(_ identifier: pid_t?) { self.identifier.store(identifier ?? 0, ordering: .relaxed) }
}
