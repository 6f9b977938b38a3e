import CMPI
import Diagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

// What ranks must agree on: that none has failed. What they must have alike is in
// Communicator+Difference.swift.
extension Communicator {
  /// Throws on every rank where any rank gives an error, and on none otherwise.
  ///
  /// All ranks call it at the same points: after opening files, after building the model. The error
  /// of the lowest failing rank is the one that all throw, so that one clear message is printed once
  /// (``end(_:status:in:)``) and every rank ends with its exit status, none waiting for another.
  public func agree(on error: (any Error)?) throws(MPIError) {
    let failing = try allReduce(Int32(error == nil ? worldSize : rank), .minimum)
    guard failing < worldSize else { return }
    let root = Int(failing)
    // An error that was agreed on before keeps the rank and the node that it came from.
    var (origin, processor) = (Int64(rank), processorName)
    var message = ""
    var errorClass = ErrorClass.failure
    if let error {
      message = "\(error)"
      errorClass = (error as? any ClassifiedError)?.errorClass ?? .failure
      if case .rankFailed(let first, _, let node, let text, _) = error as? MPIError {
        (origin, processor, message) = (Int64(first), node, text)
      }
    }
    origin = try broadcast(origin, from: root)
    processor = try broadcast(processor, from: root)
    message = try broadcast(message, from: root)
    let code = try broadcast(Self.code(of: errorClass), from: root)
    throw .rankFailed(
      rank: Int(origin), worldSize: worldSize, processor: nodeCount > 1 ? processor : "",
      message: message, errorClass: Self.errorClass(of: code))
  }

  /// Runs `body` on every rank and returns its result where it succeeded on all of them.
  ///
  /// `body` calls no collective: a rank whose body fails would leave the others waiting in it.
  public func together<Result>(_ body: () throws -> Result) throws(MPIError) -> Result {
    let result: Result
    do {
      result = try body()
    } catch {
      try agree(on: error)
      preconditionFailure("ranks agreed that nothing failed, and this one did: \(error)")
    }
    try agree(on: nil)
    return result
  }

  private static func code(of errorClass: ErrorClass) -> Int32 {
    switch errorClass {
    case .failure: 0
    case .usage: 1
    case .input: 2
    case .output: 3
    }
  }

  private static func errorClass(of code: Int32) -> ErrorClass {
    switch code {
    case 1: .usage
    case 2: .input
    case 3: .output
    default: .failure
    }
  }
}

extension Communicator {
  /// Ends this process, and the whole job, after an error.
  ///
  /// The message is printed once, on standard error, by one rank: an error that all ranks throw
  /// (`agree`, `agreeOnConfiguration` …) by the rank it came from, after which all leave in
  /// order; any other error by this rank, which then aborts the job, since the others cannot know.
  /// Ranks other than 0 wait a moment before they do: where all fail for the same reason, rank 0 has
  /// printed it by then and ended them.
  /// - Parameter status: the exit status of the process and of the job.
  /// - Parameter communicator: nil where joining the job is what failed.
  public static func end(_ error: any Error, status: Int32, in communicator: Communicator?) -> Never
  {
    let worldSize = communicator?.worldSize ?? 1
    guard let mpiError = error as? MPIError, let reporter = mpiError.reporter else {
      guard let communicator, worldSize > 1 else {
        print("error: \(error)")
        communicator?.finalize()
        exit(status)
      }
      if communicator.rank != 0 { usleep(300_000) }
      print("[rank \(communicator.rank)/\(worldSize)] \(error)")
      communicator.abort(status: status)
    }
    switch mpiError {
    case .notConnected(let claim, _), .noLibrary(let claim, _, _):
      // These processes cannot speak to each other; the launcher's own numbering decides.
      if reporter == 0 { print("[rank 0/\(claim.worldSize ?? 1)] \(error)") }
      exit(status)
    default: break
    }
    if reporter == communicator?.rank ?? 0 {
      print(worldSize > 1 ? "[rank \(reporter)/\(worldSize)] \(error)" : "error: \(error)")
    }
    communicator?.finalize()
    exit(status)
  }

  private static func print(_ line: String) {
    // One write, so that lines of several ranks do not mix.
    let bytes = Array((line + "\n").utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
  }
}
