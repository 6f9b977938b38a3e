import Diagnostics

/// What can go wrong between ranks.
public enum MPIError: ClassifiedError, Hashable {
  /// An MPI function returned an error.
  case call(function: String, code: Int32, message: String)
  /// The MPI library cannot be used by a program with threads.
  case threadsUnsupported(library: String)
  /// No MPI library that fits the launcher can be loaded; every process finds the same.
  case noLibrary(claim: LauncherClaim, wanted: String, problems: [String])
  /// The launcher says that there are more processes than MPI found.
  case notConnected(claim: LauncherClaim, worldSize: Int)
  /// A buffer has fewer elements than the operation reads or writes.
  case bufferTooSmall(operation: String, needed: Int, found: Int)
  /// More elements than one MPI call can count.
  case countTooLarge(operation: String, count: Int, limit: Int)
  /// A rank that does not exist was named.
  case noSuchRank(operation: String, rank: Int, worldSize: Int)
  /// An error on one rank that all ranks agreed on; each of them throws this.
  case rankFailed(
    rank: Int, worldSize: Int, processor: String, message: String, errorClass: ErrorClass)
  /// Ranks were given different configurations; all ranks throw this.
  case configurationsDiffer(RankDifference)
  /// Ranks differ in what must be alike; all ranks throw this.
  case ranksDiffer(what: String, RankDifference, remedy: String, errorClass: ErrorClass)
  /// More micro-batches in a step than exact sums have room for; all ranks throw this.
  case tooManyMicroBatches(perRank: Int, worldSize: Int, limit: Int)

  /// Wrong starts and configurations are usage errors; an agreed one keeps the class it had.
  public var errorClass: ErrorClass {
    switch self {
    case .noLibrary, .notConnected, .configurationsDiffer, .tooManyMicroBatches: .usage
    case .rankFailed(_, _, _, _, let errorClass), .ranksDiffer(_, _, _, let errorClass): errorClass
    default: .failure
    }
  }

  /// The rank that reports an error that every rank throws; nil for an error of one rank.
  var reporter: Int? {
    switch self {
    case .rankFailed(let rank, _, _, _, _): rank
    case .configurationsDiffer, .ranksDiffer, .tooManyMicroBatches: 0
    case .notConnected(let claim, _), .noLibrary(let claim, _, _): claim.rank ?? 0
    default: nil
    }
  }

  /// Whether every rank throws it at the same point, so that all of them may go on after it.
  public var isThrownByAllRanks: Bool { reporter != nil }

  /// What failed, where, and how to mend it.
  public var description: String {
    switch self {
    case .call(let function, let code, let message):
      return """
        \(function) failed with code \(code): \(message). If another rank ended before, its message \
        says why; else look for a node or network that failed.
        """
    case .threadsUnsupported(let library):
      return """
        The MPI library (\(library)) offers no MPI_THREAD_FUNNELED, which a program with compute \
        threads needs. Use a build of it with thread support.
        """
    case .noLibrary(let claim, let wanted, let problems):
      return """
        \(claim.variable) says that a launcher started this process, and no MPI library for it \
        (\(wanted)) can be loaded: \(problems.joined(separator: "; ")). Install it (Debian: \
        libopenmpi3, libmpich12), load its module, or say in LD_LIBRARY_PATH where it is; --mpi \
        chooses another one, SWIFT_PEFT_TRAIN_MPI_NAMES another name of it.
        """
    case .notConnected(let claim, let worldSize):
      let claimed = claim.worldSize.map { "one of \($0)" } ?? "one of several"
      let found = worldSize == 1 ? "alone" : "one of \(worldSize)"
      return """
        \(claim.variable) says that this process is \(claimed), but for MPI it is \(found): each \
        process would train everything on its own. \(claim.remedy)
        """
    case .bufferTooSmall(let operation, let needed, let found):
      return "\(operation) needs a buffer of \(needed) elements and was given \(found)."
    case .countTooLarge(let operation, let count, let limit):
      return "\(operation) of \(count) elements; one MPI call counts at most \(limit)."
    case .noSuchRank(let operation, let rank, let worldSize):
      return "\(operation) names rank \(rank) of a job of \(worldSize)."
    case .rankFailed(_, let worldSize, let processor, let message, _):
      return worldSize == 1 || processor.isEmpty ? message : "\(message) (on \(processor))"
    case .configurationsDiffer(let difference):
      return """
        Ranks have different settings, \(difference.fact) first: \(difference.sentence). Start every \
        rank with the same command line, and check that all nodes see the same files.
        """
    case .ranksDiffer(let what, let difference, let remedy, _):
      return """
        Ranks differ in \(what), \(difference.fact) first: \(difference.sentence). \(remedy)
        """
    case .tooManyMicroBatches(let perRank, let worldSize, let limit):
      return """
        A step of \(perRank) micro-batches on each of \(worldSize) ranks; exact sums have room for \
        \(limit) in all. Lower global_batch_size or raise micro_batch_size (or \
        micro_batch_tokens).
        """
    }
  }

  static func list(_ ranks: [Int]) -> String {
    let shown = ranks.prefix(8).map(String.init).joined(separator: ", ")
    let rest = ranks.count > 8 ? " and \(ranks.count - 8) more" : ""
    return (ranks.count == 1 ? "rank " : "ranks ") + shown + rest
  }
}
