import Foundation
import Testing

/// How a program that a test started came out.
package struct ProcessResult: Sendable {
  /// The exit status, or 128 + the signal that ended it.
  package let status: Int32
  /// Everything that it wrote to standard output.
  package let output: String
  /// Everything that it wrote to standard error.
  package let errors: String
  /// Whether it was killed because the time was up; `status` is then that of the killed process.
  package let timedOut: Bool

  /// The program, and the seconds that it was given.
  let limit: (program: String, seconds: Double)

  /// Lines of standard output, empty ones left out.
  package var outputLines: [String] { output.split(separator: "\n").map(String.init) }

  /// The result of a program that came to its own end.
  ///
  /// - Throws: ``TimeoutError`` where it was killed instead. Its status must not be looked at then:
  ///   a program that answers SIGTERM with a promised status would seem to have chosen it.
  package func requireFinished() throws -> ProcessResult {
    guard timedOut else { return self }
    throw TimeoutError(
      description: """
        \(limit.program) was killed after \(Int(limit.seconds.rounded())) s. On a loaded machine \
        set \(ProcessRunner.timeoutVariable), which multiplies the time that programs get.
        It wrote: \(output.suffix(1000))\(errors.suffix(1000))
        """)
  }
}

/// A program that a test started did not end in the time it was given.
package struct TimeoutError: Error, CustomStringConvertible {
  /// Which program, how long it ran, and the end of what it wrote.
  package let description: String
}

/// Starts programs from tests: one alone, or several ranks under `mpirun`.
///
/// ```swift
/// let result = try ProcessRunner.mpirun(ranks: 3, ProcessRunner.built("mpi-probe"), ["collectives"])
/// #expect(result.status == 0, "\(result.errors)")
/// ```
///
/// The children do not inherit variables by which a launcher speaks to its processes (`OMPI_…`,
/// `PMIX_…`, `PMI_…`, `SLURM_…`), so tests do the same in a batch job as on a desk.
package enum ProcessRunner {
  /// Where the build put its programs: the folder of the running test program.
  package static var productsDirectory: URL {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
  }

  /// The built program named `name`.
  package static func built(_ name: String) -> URL {
    productsDirectory.appendingPathComponent(name)
  }

  /// The environment variable that multiplies the seconds which programs get, 1 by default.
  package static let timeoutVariable = "TEST_TIMEOUT_SCALE"

  /// What ``timeoutVariable`` says.
  package static var timeoutScale: Double {
    ProcessInfo.processInfo.environment[timeoutVariable].flatMap(Double.init) ?? 1
  }

  /// The environment variable that leaves out what starts ranks under `mpirun`.
  package static let withoutRanksVariable = "TEST_WITHOUT_MPIRUN"

  /// Runs a program to its end, or kills it when the time is up.
  ///
  /// - Parameter executable: the program's file.
  /// - Parameter environment: variables added to those of the test, or put in their place.
  /// - Parameter input: what it reads on standard input; nothing by default.
  /// - Parameter directory: where it runs; the test's own working directory by default.
  /// - Parameter timeoutSeconds: what it gets on an idle machine, multiplied by ``timeoutScale``.
  /// - Throws: when the program cannot be started; ``TimeoutError`` when it had to be killed.
  package static func run(
    _ executable: URL, _ arguments: [String], environment: [String: String] = [:],
    input: String = "", directory: URL? = nil, timeoutSeconds: Double = 120
  ) throws -> ProcessResult {
    let process = try RunningProcess(
      executable, arguments, environment: childEnvironment(adding: environment), input: input,
      directory: directory)
    return try process.wait(timeoutSeconds: timeoutSeconds).requireFinished()
  }

  /// Starts a program and returns at once, for tests that send it a signal.
  ///
  /// The parameters are those of ``run(_:_:environment:input:directory:timeoutSeconds:)``.
  package static func start(
    _ executable: URL, _ arguments: [String], environment: [String: String] = [:],
    input: String = "", directory: URL? = nil
  ) throws -> RunningProcess {
    try RunningProcess(
      executable, arguments, environment: childEnvironment(adding: environment), input: input,
      directory: directory)
  }

  /// Runs a program as `ranks` processes on this machine under `mpirun`.
  ///
  /// Ranks may outnumber cores, and nothing is bound to a core. Jobs wait for each other, since
  /// waiting ranks poll and two jobs at once would take each other's cores. Where
  /// ``withoutRanksVariable`` is set, the test that asks is cancelled, which is reported.
  package static func mpirun(
    ranks: Int, _ executable: URL, _ arguments: [String], environment: [String: String] = [:],
    input: String = "", directory: URL? = nil, timeoutSeconds: Double = 180
  ) throws -> ProcessResult {
    if ProcessInfo.processInfo.environment[withoutRanksVariable] != nil {
      try Test.cancel("\(withoutRanksVariable) is set")
    }
    oneJobAtATime.lock()
    defer { oneJobAtATime.unlock() }
    var variables = mpirunEnvironment
    variables.merge(environment) { _, given in given }
    return try run(
      URL(fileURLWithPath: "/usr/bin/env"), launch(ranks, executable) + arguments,
      environment: variables, input: input, directory: directory, timeoutSeconds: timeoutSeconds)
  }

  /// Starts a job and returns at once, for tests that look at its ranks while they run.
  package static func startMPIRun(
    ranks: Int, _ executable: URL, _ arguments: [String]
  ) throws -> RunningProcess {
    if ProcessInfo.processInfo.environment[withoutRanksVariable] != nil {
      try Test.cancel("\(withoutRanksVariable) is set")
    }
    return try start(
      URL(fileURLWithPath: "/usr/bin/env"), launch(ranks, executable) + arguments,
      environment: mpirunEnvironment)
  }

  /// The launcher of MPICH or one of its kin: what ``mpichVariable`` says, else Debian's.
  ///
  /// It is asked for under a name that Open MPI has not, since both call theirs `mpirun`.
  package static let mpichLauncher: URL? = {
    let given = ProcessInfo.processInfo.environment[mpichVariable].map { [$0] }
    return (given ?? ["/usr/bin/mpiexec.hydra", "/usr/bin/mpiexec.mpich"])
      .first { FileManager.default.isExecutableFile(atPath: $0) }
      .map { URL(fileURLWithPath: $0) }
  }()

  /// The environment variable that names the launcher of an MPICH.
  package static let mpichVariable = "TEST_MPICH_MPIEXEC"

  /// Runs a program as `ranks` processes under MPICH's launcher; cancels the test where there is none.
  package static func mpich(
    ranks: Int, _ executable: URL, _ arguments: [String], environment: [String: String] = [:]
  ) throws -> ProcessResult {
    guard let launcher = mpichLauncher else {
      try Test.cancel("no MPICH is installed, and \(mpichVariable) names none")
    }
    if ProcessInfo.processInfo.environment[withoutRanksVariable] != nil {
      try Test.cancel("\(withoutRanksVariable) is set")
    }
    oneJobAtATime.lock()
    defer { oneJobAtATime.unlock() }
    return try run(
      launcher, ["-n", "\(ranks)", executable.path] + arguments, environment: environment,
      timeoutSeconds: 180)
  }

  private static func launch(_ ranks: Int, _ executable: URL) -> [String] {
    ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "\(ranks)", executable.path]
  }

  /// What Open MPI needs in a container: to run as root, and not to map other processes' memory.
  package static let mpirunEnvironment = [
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
  ]

  private static let oneJobAtATime = NSLock()

  private static func childEnvironment(adding added: [String: String]) -> [String: String] {
    let launcherPrefixes = ["OMPI_", "PMIX_", "PMI_", "SLURM_", "PRTE_"]
    var environment = ProcessInfo.processInfo.environment.filter { variable in
      !launcherPrefixes.contains { variable.key.hasPrefix($0) }
    }
    environment.merge(added) { _, given in given }
    return environment
  }
}
