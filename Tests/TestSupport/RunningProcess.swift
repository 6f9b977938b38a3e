import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A program that a test started and has not yet waited for.
///
/// It is started with `posix_spawn` rather than Foundation's `Process`: a child inherits the signal
/// mask of the thread that starts it, the threads that run tests block most signals, and a child
/// that blocks SIGTERM cannot be asked to stop.
package final class RunningProcess {
  /// The process, which leads a process group of its own.
  package let identifier: pid_t
  private let folder: URL
  private let program: String
  /// The status as `waitpid` gave it, once the program has ended.
  private var ended: Int32?

  /// Why a program could not be started.
  package struct StartError: Error, CustomStringConvertible {
    /// What was tried, and what the system said.
    package let description: String
  }

  init(
    _ executable: URL, _ arguments: [String], environment: [String: String], input: String,
    directory: URL?
  ) throws {
    program = executable.lastPathComponent
    // Files rather than pipes: a pipe that nobody drains stops the child when it is full.
    folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("run-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let inputFile = folder.appendingPathComponent("input")
    try Data(input.utf8).write(to: inputFile)

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let create = O_WRONLY | O_CREAT | O_TRUNC
    posix_spawn_file_actions_addopen(&actions, 0, inputFile.path, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, Self.output(in: folder).path, create, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, Self.errors(in: folder).path, create, 0o600)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var every = sigset_t()
    sigfillset(&every)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &every)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

    // env changes the directory, since Glibc's module does not show the call that would.
    let path = directory == nil ? executable.path : "/usr/bin/env"
    let prefix = directory.map { ["/usr/bin/env", "-C", $0.path] } ?? []
    var argumentList = (prefix + [executable.path] + arguments).map { strdup($0) } + [nil]
    var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for string in argumentList + variables { free(string) } }
    var child: pid_t = 0
    let status = posix_spawn(
      &child, path, &actions, &attributes, &argumentList, &variables)
    identifier = child
    guard status == 0 else {
      ended = status
      throw StartError(
        description: "\(executable.path) cannot be started: \(String(cString: strerror(status)))")
    }
  }

  deinit {
    if ended == nil {
      kill(-identifier, SIGKILL)
      var status: Int32 = 0
      waitpid(identifier, &status, 0)
    }
    try? FileManager.default.removeItem(at: folder)
  }

  /// What the program wrote to standard output so far.
  package var outputSoFar: String { Self.text(of: Self.output(in: folder)) }

  /// What the program wrote to standard error so far.
  package var errorsSoFar: String { Self.text(of: Self.errors(in: folder)) }

  /// Sends a signal to the program; to `mpirun`, not to its ranks, where it is one.
  package func send(signal: Int32) { kill(identifier, signal) }

  /// Waits until `condition` holds, the program ends or the time is up; says whether it holds.
  ///
  /// - Parameter timeoutSeconds: on an idle machine, multiplied by ``ProcessRunner/timeoutScale``.
  package func waitUntil(timeoutSeconds: Double = 30, _ condition: (RunningProcess) -> Bool) -> Bool
  {
    let deadline = Date().addingTimeInterval(timeoutSeconds * ProcessRunner.timeoutScale)
    while !condition(self) {
      if Date() > deadline || hasEnded { return condition(self) }
      usleep(10_000)
    }
    return true
  }

  /// Waits for the end of the program and kills it when the time is up, which the result says.
  ///
  /// - Parameter timeoutSeconds: on an idle machine, multiplied by ``ProcessRunner/timeoutScale``.
  package func wait(timeoutSeconds: Double) throws -> ProcessResult {
    let timedOut = !waitUntil(timeoutSeconds: timeoutSeconds) { $0.hasEnded }
    if timedOut {
      // mpirun passes SIGTERM on to its ranks, which are in process groups of their own.
      kill(-identifier, SIGTERM)
      if !waitUntil(timeoutSeconds: 5, { $0.hasEnded }) {
        kill(-identifier, SIGKILL)
        _ = waitUntil { $0.hasEnded }
      }
    }
    let status = ended ?? 0
    let signal = status & 0x7f
    return ProcessResult(
      status: signal == 0 ? (status >> 8) & 0xff : 128 + signal, output: outputSoFar,
      errors: errorsSoFar, timedOut: timedOut,
      limit: (program, timeoutSeconds * ProcessRunner.timeoutScale))
  }

  /// Whether the program has ended.
  package var hasEnded: Bool {
    if ended != nil { return true }
    var status: Int32 = 0
    if waitpid(identifier, &status, WNOHANG) == 0 { return false }
    ended = status
    return true
  }

  private static func output(in folder: URL) -> URL { folder.appendingPathComponent("output") }

  private static func errors(in folder: URL) -> URL { folder.appendingPathComponent("errors") }

  private static func text(of file: URL) -> String {
    String(decoding: (try? Data(contentsOf: file)) ?? Data(), as: UTF8.self)
  }
}
