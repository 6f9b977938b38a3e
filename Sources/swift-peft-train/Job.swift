import DataParallel
import Diagnostics
import Foundation
import Logging

/// A command that runs on one process or, started by a launcher, on many.
enum Job {
  /// Joins the launcher's job, runs `body`, and leaves.
  ///
  /// An error ends the process, and the whole job, with its message printed once and its promised
  /// status.
  ///
  /// - Parameters:
  ///   - style: how it logs.
  ///   - mpi: which MPI library is loaded.
  /// - Returns: what `body` does.
  @discardableResult
  static func run<Result>(
    style: LogStyle = LogStyle(), mpi: MPIChoice = .auto,
    _ body: (_ communicator: Communicator, _ logger: Logger) throws -> Result
  ) -> Result {
    let communicator: Communicator
    do { communicator = try Communicator(mpi: mpi) } catch {
      Communicator.end(error, status: Failure.status(of: error.errorClass), in: nil)
    }
    let logger = StandardErrorLog.logger(
      rank: communicator.rank, worldSize: communicator.worldSize, style: style)
    do {
      let result = try body(communicator, logger)
      Console.shared.finish()
      communicator.finalize()
      return result
    } catch let stopped as StoppedOnRequest {
      // All ranks come here.
      logger.notice("\(stopped)")
      Console.shared.finish()
      communicator.finalize()
      exit(Failure.stoppedOnRequest)
    } catch {
      Console.shared.finish()
      let status = (error as? any ClassifiedError).map { Failure.status(of: $0.errorClass) } ?? 1
      Communicator.end(error, status: status, in: communicator)
    }
  }
}
