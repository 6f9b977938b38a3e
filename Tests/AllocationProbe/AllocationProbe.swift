import CAllocationCounter
import DataParallel
import Foundation
import Logging
import Training

/// What the tests start, alone and under `mpirun`: runs of the real step loop, and how often each
/// allocated memory in its last steps.
///
///     allocation-probe run.yaml …
///
/// Each rank writes a line for each file: its name, then counts by owner. Stacks of the program's own
/// allocations follow on standard error, where there are any.
@main
enum AllocationProbe {
  /// Steps before counting starts: what grows once has grown, and the largest micro-batch has passed.
  static let warmUp = 12
  /// Steps that are counted; they cross the end of an epoch.
  static let counted = 9

  static func main() {
    var communicator: Communicator?
    do {
      let joined = try Communicator()
      communicator = joined
      guard ac_is_supported() != 0 else {
        throw ConfigurationError.conflict(
          "allocations of this C library, or under a sanitizer, cannot be counted",
          remedy: "Run the test with glibc and without a sanitizer")
      }
      for path in CommandLine.arguments.dropFirst() { try run(path, joined) }
      joined.finalize()
    } catch {
      Communicator.end(error, status: 1, in: communicator)
    }
  }

  /// One run, with nothing but steps between the two ends of counting.
  private static func run(_ path: String, _ communicator: Communicator) throws {
    var settings = try RunSettings(yamlFile: path)
    try settings.set("max_steps", value: .int(warmUp + counted + 1), source: .commandLine)
    let configuration = try RunConfiguration(settings)
    var logger = Logger(label: "allocation-probe")
    logger.logLevel = .error
    let training = try TrainingRun(
      configuration, model: configuration.model ?? "", data: configuration.data ?? "",
      communicator: communicator, logger: logger)
    let trainer = try Trainer(training)
    let allocates = ProcessInfo.processInfo.environment["ALLOCATE_IN_EACH_STEP"] != nil
    var kept: [[Int]] = []
    kept.reserveCapacity(counted)
    trainer.didEndStep = { step in
      if step == warmUp { ac_start() }
      if step == warmUp + counted { ac_stop() }
      if allocates && step >= warmUp && kept.count < counted { kept.append([step, step]) }
    }
    _ = try trainer.train()
    report(URL(fileURLWithPath: path).lastPathComponent)
  }

  private static func report(_ name: String) {
    let owners: [(String, ac_owner)] = [
      ("program", AC_PROGRAM), ("mpi", AC_MPI), ("hdf5", AC_HDF5),
    ]
    let counts = owners.map { "\($0.0)=\(ac_count($0.1))" }.joined(separator: " ")
    // One write a line, so that ranks do not mix theirs.
    FileHandle.standardOutput.write(Data("\(name) \(counts)\n".utf8))
    ac_write_stacks(STDERR_FILENO)
  }
}
