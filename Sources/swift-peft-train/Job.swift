import DataParallel
import Foundation
import Logging
import Tensors

/// A command that runs on one process or, started by a launcher, on many.
enum Job {
  /// Joins the launcher's job, runs `body`, and leaves.
  ///
  /// An error ends the process, and the whole job, with its message printed once and its promised
  /// status.
  ///
  /// - Parameters:
  ///   - logsAllRanks: whether ranks other than 0 log.
  ///   - mpi: which MPI library is loaded.
  /// - Returns: what `body` does.
  @discardableResult
  static func run<Result>(
    logsAllRanks: Bool, mpi: MPIChoice = .auto,
    _ body: (_ communicator: Communicator, _ logger: Logger) throws -> Result
  ) -> Result {
    let communicator: Communicator
    do { communicator = try Communicator(mpi: mpi) } catch {
      Communicator.end(error, status: Failure.status(of: error.errorClass), in: nil)
    }
    let logger = StandardErrorLog.logger(
      rank: communicator.rank, worldSize: communicator.worldSize, logsAllRanks: logsAllRanks)
    do {
      let result = try body(communicator, logger)
      communicator.finalize()
      return result
    } catch let stopped as StoppedOnRequest {
      // All ranks come here.
      logger.notice("\(stopped)")
      communicator.finalize()
      exit(Failure.stoppedOnRequest)
    } catch {
      let status = (error as? any ClassifiedError).map { Failure.status(of: $0.errorClass) } ?? 1
      Communicator.end(error, status: status, in: communicator)
    }
  }
}

/// Log lines on standard error: the time, warnings marked, the rank where more than one logs.
struct StandardErrorLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info
  private let prefix: String
  private let formatter: DateFormatter

  /// A logger for a rank; ranks other than 0 are silent unless all are to log.
  static func logger(rank: Int, worldSize: Int, logsAllRanks: Bool) -> Logger {
    var logger = Logger(label: "swift-peft-train") { _ in
      StandardErrorLog(prefix: logsAllRanks && worldSize > 1 ? "[rank \(rank)/\(worldSize)] " : "")
    }
    if rank != 0 && !logsAllRanks { logger.logLevel = .critical }
    return logger
  }

  private init(prefix: String) {
    self.prefix = prefix
    formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "HH:mm:ss"
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let mark = event.level >= .warning ? "\(event.level): " : ""
    Failure.write("\(formatter.string(from: Date()))  \(prefix)\(mark)\(event.message)")
  }
}
