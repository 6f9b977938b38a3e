import Foundation
import Glibc
import Training

/// Processes that compute beside a plan's measurement, as the other ranks of a node will in the job.
///
/// Ranks of a node share caches, memory and clocks: one alone is faster than one of many. Each of these is
/// this program again with the same options; it takes micro-batches and forgets them until it is told to
/// end, or its plan is gone.
final class PlanNeighbours {
  /// Set in the environment of a process that is one.
  private static let variable = "SWIFT_PEFT_PLAN_NEIGHBOUR"
  /// How long they may take until they compute, in seconds, before the plan goes on without them.
  private static let patience = 120

  private var processes: [(process: Process, output: Pipe, input: Pipe)] = []

  /// Starts so many; fewer where the system has no room for them.
  init(count: Int) {
    guard count > 0,
      let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    else { return }
    for _ in 0..<count {
      let process = Process()
      let (output, input) = (Pipe(), Pipe())
      process.executableURL = URL(fileURLWithPath: program)
      process.arguments = Array(CommandLine.arguments.dropFirst())
      process.environment = ProcessInfo.processInfo.environment.merging([Self.variable: "1"]) { $1 }
      process.standardInput = input
      process.standardOutput = output
      process.standardError = FileHandle.nullDevice
      guard (try? process.run()) != nil else { break }
      processes.append((process, output, input))
    }
  }

  /// Waits until they compute.
  ///
  /// - Returns: how many do.
  func waitUntilComputing() -> Int {
    let end = ContinuousClock.now + .seconds(Self.patience)
    return processes.count { neighbour in
      let file = neighbour.output.fileHandleForReading
      let left = max(0, (end - ContinuousClock.now) / .milliseconds(1))
      return Self.isReadable(file.fileDescriptor, milliseconds: Int32(left))
        && file.availableData.count > 0
    }
  }

  /// Ends them: nothing of them is kept.
  func end() {
    for (process, _, _) in processes where process.isRunning {
      kill(process.processIdentifier, SIGKILL)
    }
    for (process, _, _) in processes { process.waitUntilExit() }
    processes = []
  }

  deinit { end() }

  /// Whether this process is one.
  static var isOne: Bool { ProcessInfo.processInfo.environment[variable] != nil }

  /// What one does when all that steps need is there.
  static func compute(_ trainer: Trainer) throws {
    try FileHandle.standardOutput.write(contentsOf: Data([1]))
    // Nothing is written to it: it becomes readable when nobody holds its other end.
    try trainer.keepComputing { !isReadable(STDIN_FILENO, milliseconds: 0) }
  }

  /// Whether a read would return, within some time.
  private static func isReadable(_ descriptor: Int32, milliseconds: Int32) -> Bool {
    var file = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // Unsafe: the call fills the structure.
    return unsafe poll(&file, 1, milliseconds) > 0
  }
}
