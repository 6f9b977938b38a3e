import CMPI
import Diagnostics
import Foundation
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// All processes of a run, and what they do together.
///
/// ```swift
/// let communicator = try Communicator()
/// let tokens = try communicator.allReduce(Int64(localTokens), .sum)
/// communicator.finalize()
/// ```
///
/// A process that no launcher started is a world of one: MPI is then not started at all, every
/// collective returns at once, and neither `mpirun` nor a network is needed.
///
/// MPI is started as `MPI_THREAD_FUNNELED`: only the thread that made the communicator may use it.
/// That is why it is not `Sendable`; the compiler keeps it where it was made. There is one world and
/// no sub-communicator: whoever needs the ranks of a node has ``localRank``. There is no `deinit` that
/// leaves the job either: leaving waits for all ranks, and an error that unwinds one of them would
/// hang there. A rank that ends without leaving is noticed by its launcher, which ends the others.
@safe
public final class Communicator {
  /// This process's number, from 0.
  public let rank: Int
  /// Number of processes.
  public let worldSize: Int
  /// This process's number among those on its node, from 0.
  public let localRank: Int
  /// Number of processes on this node.
  public let localSize: Int
  /// The lowest rank on this node.
  public let nodeLeader: Int
  /// Number of nodes.
  public let nodeCount: Int
  /// The node's name.
  public let processorName: String
  /// The MPI library's own name and version, or nil where MPI was not started.
  public let library: String?
  /// Bytes that this process handed to reductions so far; stays 0 in a world of one.
  public internal(set) var reducedBytes = 0
  /// Elements in one MPI call at most; tests lower it to see messages cut into pieces.
  package var largestCount = Int(CInt.max)

  /// The world's handle; nil in a world of one without MPI, and once it has ended.
  var handle: cmpi_comm?
  /// What ranks of this node tell each other outside of MPI; nil before ``watch(timeout:)``.
  private(set) var board: NodeBoard?
  private var stallWatch: StallWatch?

  /// The environment variable that parts a machine into nodes of so many ranks, which then share
  /// nothing: what several nodes do can be tried on one.
  static let ranksPerNodeVariable = "SWIFT_PEFT_TRAIN_RANKS_PER_NODE"

  /// Joins the job that the environment speaks of.
  ///
  /// The corresponding C function is `MPI_Init_thread` (MPI 3.1, §12.4.3).
  /// - Parameter choice: which MPI library to load where a launcher started the process.
  /// - Throws: where there is no such library, where MPI fails, and where it finds fewer processes
  ///   than the launcher started.
  public convenience init(mpi choice: MPIChoice = .auto) throws(MPIError) {
    guard let claim = LauncherClaim(environment: Self.environment()) else {
      self.init(alone: ())
      return
    }
    if claim.cannotConnect { throw .notConnected(claim: claim, worldSize: 1) }
    try MPILibrary.load(choice, for: claim)
    try self.init(claim: claim)
  }

  /// A world of one process, whatever the environment says.
  public init(alone: Void) {
    rank = 0
    worldSize = 1
    localRank = 0
    localSize = 1
    nodeLeader = 0
    nodeCount = 1
    library = nil
    handle = nil
    var name = [CChar](repeating: 0, count: 256)
    // The last character stays zero, so a name cut short still ends.
    let status = unsafe gethostname(&name, name.count - 1)
    processorName =
      status == 0
      ? String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      : "localhost"
  }

  private init(claim: LauncherClaim) throws(MPIError) {
    // A process that finds no job must be able to say so where Open MPI's daemon cannot start:
    // without this, MPI_Init in a lone process starts one.
    unsafe setenv("OMPI_MCA_ess_singleton_isolated", "1", 0)
    var provided: CInt = 0
    try MPICall.check("MPI_Init_thread") {
      unsafe cmpi_init_thread(CInt(cmpi_thread_funneled), &provided)
    }
    let world = cmpi_world()
    // Failures come back as statuses; by default the library would end the process itself.
    try MPICall.check("MPI_Comm_set_errhandler") { cmpi_return_errors(world) }
    let version = unsafe MPICall.text { characters, length in
      unsafe cmpi_get_library_version(characters, length)
    }
    guard provided >= CInt(cmpi_thread_funneled) else {
      throw .threadsUnsupported(library: version)
    }

    var number: CInt = 0
    var size: CInt = 0
    try MPICall.check("MPI_Comm_rank") { unsafe cmpi_comm_rank(world, &number) }
    try MPICall.check("MPI_Comm_size") { unsafe cmpi_comm_size(world, &size) }
    if let claimed = claim.worldSize, claimed != Int(size) {
      throw .notConnected(claim: claim, worldSize: Int(size))
    }

    // The processes that share memory with this one: its node, as far as it matters here.
    var node: cmpi_comm = 0
    var localNumber: CInt = 0
    var localCount: CInt = 0
    try MPICall.check("MPI_Comm_split_type") {
      unsafe cmpi_comm_split_shared(world, number, &node)
    }
    try MPICall.check("MPI_Comm_rank") { unsafe cmpi_comm_rank(node, &localNumber) }
    if let ranks = Self.environment()[Self.ranksPerNodeVariable].flatMap({ Int32($0) }), ranks > 0 {
      var part: cmpi_comm = 0
      try MPICall.check("MPI_Comm_split") {
        unsafe cmpi_comm_split(node, localNumber / ranks, localNumber, &part)
      }
      try MPICall.check("MPI_Comm_free") { unsafe cmpi_comm_free(&node) }
      node = part
      try MPICall.check("MPI_Comm_rank") { unsafe cmpi_comm_rank(node, &localNumber) }
    }
    try MPICall.check("MPI_Comm_size") { unsafe cmpi_comm_size(node, &localCount) }
    var leader: Int32 = number
    try MPICall.check("MPI_Allreduce") {
      unsafe cmpi_allreduce(nil, &leader, 1, cmpi_int32, cmpi_min, node)
    }
    try MPICall.check("MPI_Comm_free") { unsafe cmpi_comm_free(&node) }
    var leaders: Int32 = localNumber == 0 ? 1 : 0
    try MPICall.check("MPI_Allreduce") {
      unsafe cmpi_allreduce(nil, &leaders, 1, cmpi_int32, cmpi_sum, world)
    }

    rank = Int(number)
    worldSize = Int(size)
    localRank = Int(localNumber)
    localSize = Int(localCount)
    nodeLeader = Int(leader)
    nodeCount = Int(leaders)
    library = version.split(separator: ",").first.map(String.init) ?? version
    processorName = unsafe MPICall.text { characters, length in
      unsafe cmpi_get_processor_name(characters, length)
    }
    handle = world
  }

  /// Leaves the job, together with all other ranks, at the end of a run.
  ///
  /// It waits for the last of them. An error at this point has nobody left to act on it and is dropped. The corresponding C
  /// function is `MPI_Finalize` (MPI 3.1, §8.7).
  public func finalize() {
    guard handle != nil else { return }
    handle = nil
    _ = RunProgress.whileWaiting { cmpi_finalize() }
    stallWatch?.end()
  }

  /// From here on a rank that does not get on ends the job, and is named; called by all ranks.
  ///
  /// - Parameter timeout: how long is waited, in seconds; 0: for ever. Called again it sets another.
  /// - Throws: on all ranks where a node has no memory to share.
  public func watch(timeout: Double) throws {
    if let stallWatch {
      stallWatch.seconds = timeout
      return
    }
    let bytes = try allocateOnNode(byteCount: NodeBoard.byteCount(ranks: localSize))
    let board = NodeBoard(bytes, localRank: localRank, localSize: localSize, rank: rank)
    let watch = StallWatch(
      board, beats: try nodeBeats(), worldSize: worldSize, nodeCount: nodeCount, node: processorName
    )
    watch.seconds = timeout
    watch.start()
    (self.board, stallWatch) = (board, watch)
    MappedRanges.report(prefix: worldSize > 1 ? "[rank \(rank)/\(worldSize)] " : "error: ") {
      Communicator.endJobNow(status: $0)
    }
    // Who looks at the board before all have a row there would see a rank that does not live.
    try barrier()
  }

  /// Whether this rank, or as far as is known without asking any other, was asked to stop.
  ///
  /// Ranks of a node know of each other at once.
  public var isAskedToStop: Bool {
    if board?.isStopAsked == true { return true }
    guard StopRequest.isMade else { return false }
    askToStop()
    return true
  }

  /// Tells the ranks of the node that the job is to stop.
  public func askToStop() { board?.askToStop() }

  /// Throws on all ranks where any was asked to stop; called by all ranks, outside of steps.
  public func agreeToGoOn() throws {
    if try allReduce(Int32(isAskedToStop ? 1 : 0), .maximum) != 0 { throw StoppedOnRequest() }
  }

  /// Ends every process of the job at once, with `status` as the job's exit status.
  ///
  /// For failures that other ranks cannot know of, since they wait in a collective for this one.
  /// The corresponding C function is `MPI_Abort` (MPI 3.1, §8.7).
  public func abort(status: Int32) -> Never {
    if handle != nil {
      Communicator.waitForErrorReader()
      _ = cmpi_abort(cmpi_world(), status)
    }
    exit(status)
  }

  /// Waits up to a second until the launcher has read what was written to standard error.
  ///
  /// A launcher may end all processes before it has, and then the reason is lost (MPICH's, on a busy
  /// machine). It does so where standard error is a pipe of this process alone.
  static func waitForErrorReader() {
    var file = stat()
    guard unsafe fstat(STDERR_FILENO, &file) == 0, file.st_mode & S_IFMT == S_IFIFO else { return }
    for _ in 0..<100 {
      var unread: CInt = 0
      guard unsafe ioctl(STDERR_FILENO, UInt(FIONREAD), &unread) == 0, unread > 0 else { return }
      usleep(10_000)
    }
  }

  static func environment() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
      let parts = unsafe String(cString: text).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
      unsafe entry += 1
    }
    return variables
  }
}
