import ArgumentParser
import DataParallel
import Diagnostics
import Foundation

/// Errors on their way out: what is printed, and with which status the program ends.
enum Failure {
  /// The promised exit status of a run that was asked to stop, and saved a checkpoint.
  static let stoppedOnRequest: Int32 = 75

  /// The promised exit status of a class of errors.
  static func status(of errorClass: ErrorClass) -> Int32 {
    switch errorClass {
    case .usage: 64
    case .input: 65
    case .output: 73
    case .failure: 1
    }
  }

  /// Reports an error and ends the program.
  static func leave(with error: any Error) -> Never { exit(report(error)) }

  /// Prints an error as the last line on standard error; returns the exit status.
  ///
  /// Under a launcher all ranks come here with the same error, and rank 0 alone speaks: the others
  /// give it time, since a launcher ends all of them when the first ends.
  static func report(_ error: any Error) -> Int32 {
    // What fails while a signal takes outputs away is the signal's doing, and its status counts.
    while StopRequest.isEnding { Thread.sleep(forTimeInterval: 1) }
    let claim = LauncherClaim(environment: ProcessInfo.processInfo.environment)
    let isSpeaker = claim?.rank ?? 0 == 0
    let code = SwiftPEFTTrain.exitCode(for: error)
    if code.isSuccess {
      // --help and --version come as errors.
      if isSpeaker { print(SwiftPEFTTrain.fullMessage(for: error)) }
      return 0
    }
    if !isSpeaker { Thread.sleep(forTimeInterval: 0.3) }
    if error is StoppedOnRequest {
      if isSpeaker { write("\(error)") }
      return stoppedOnRequest
    }
    if let error = error as? any ClassifiedError {
      if isSpeaker { write("error: \(error.description)") }
      return status(of: error.errorClass)
    }
    if error is ExitCode { return code.rawValue }
    if isSpeaker { write("error: " + CommandLineText.message(for: error)) }
    return error is CocoaError ? 1 : 64
  }

  /// Writes a line to standard error, as far as that takes it.
  static func write(_ line: String) { Console.shared.write(line) }
}
