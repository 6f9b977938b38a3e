import CMPI
import Tensors

/// Which nodes read what all need, and which receive it from them.
///
/// ```swift
/// let groups = try communicator.nodeGroups(of: 32)
/// try communicator.send(bytes, in: groups)  // of the first node of each group to the others
/// ```
public struct NodeGroups: Sendable {
  /// Nodes in a group at most.
  public let size: Int
  /// The lowest rank of the node that reads for this one.
  public let reader: Int
  /// Whether this rank's node is the one.
  public let isReader: Bool
  /// Nodes that read.
  public let readerCount: Int
  /// The node's group, and its number among all.
  let group, node: Int
}

extension Communicator {
  /// Parts the nodes, in the order of their lowest ranks, into groups of `size`; called by all ranks.
  public func nodeGroups(of size: Int) throws(MPIError) -> NodeGroups {
    precondition(size > 0, "groups of \(size) nodes")
    var all = [Int64](repeating: 0, count: worldSize)
    try allGather([Int64(nodeLeader)], into: &all)
    let leaders = Set(all).sorted().map { Int($0) }
    let node = leaders.firstIndex(of: nodeLeader) ?? 0
    let group = node / size
    return NodeGroups(
      size: size, reader: leaders[group * size], isReader: node % size == 0,
      readerCount: (leaders.count + size - 1) / size, group: group, node: node)
  }

  /// Bytes between nodes in one message: enough that its start does not count, few enough that reading
  /// goes on beside sending.
  public static let pieceBytes = 32 << 20

  /// Sends bytes of the node that reads to the other nodes of its group; called by all ranks.
  ///
  /// Ranks other than the lowest of a node wait.
  ///
  /// - Parameters:
  ///   - bytes: as many on all nodes of a group; on the nodes that receive, memory that the node
  ///     shares.
  ///   - ranges: which of them; all if not given.
  ///   - groups: which nodes read and which receive.
  ///   - willSend: told on the rank that reads which bytes are next.
  /// - Throws: where MPI fails.
  public func send(
    _ bytes: ByteView, _ ranges: [Range<Int>]? = nil, in groups: NodeGroups,
    willSend: (Range<Int>) -> Void = { _ in }
  ) throws(MPIError) {
    guard let world = world() else { return }
    let isLeader = localRank == 0
    var leaders: cmpi_comm = 0
    try MPICall.check("MPI_Comm_split") {
      unsafe cmpi_comm_split(
        world, isLeader ? CInt(groups.group) : -1, CInt(groups.node), &leaders)
    }
    if isLeader {
      for range in ranges ?? [0..<bytes.count] {
        precondition(range.upperBound <= bytes.count, "\(range) of \(bytes.count)")
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.pieceBytes) {
          let end = min(start + Self.pieceBytes, range.upperBound)
          if groups.isReader && end < range.upperBound {
            willSend(end..<min(end + Self.pieceBytes, range.upperBound))
          }
          try MPICall.check("MPI_Bcast") {
            unsafe cmpi_bcast(
              bytes.base.map { unsafe $0 + start }, CInt(end - start), cmpi_uint8, 0, leaders)
          }
        }
      }
      try MPICall.check("MPI_Comm_free") { unsafe cmpi_comm_free(&leaders) }
    }
    try barrier()
  }
}
