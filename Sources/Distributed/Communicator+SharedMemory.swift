import CMPI
import Tensors

extension Communicator {
  /// Memory of `byteCount` zero bytes, one physical copy for the ranks of a node; called by all ranks.
  ///
  /// A file in `/dev/shm`, or in `TMPDIR` where that is too small, which has no name any more once
  /// all have it: however a rank ends, nothing is left behind.
  ///
  /// - Parameters:
  ///   - byteCount: the same on all ranks of a node.
  ///   - likeFile: whether pages that are released keep what is in them.
  ///   - reserved: the bytes for which there must be room now; all of them if not given.
  /// - Throws: where the node has no room, on all ranks.
  public func allocateOnNode(
    byteCount: Int, likeFile: Bool, reserved: [Range<Int>]? = nil
  ) throws(MPIError) -> SharedBytes {
    try allocate(
      byteCount: byteCount, likeFile: likeFile, reserved: reserved,
      in: RankGroup(leader: nodeLeader, rank: localRank, size: localSize, count: nodeCount))
  }

  /// The same for the ranks of a group, of which each lies on one node; called by all ranks.
  public func allocate(
    byteCount: Int, likeFile: Bool, reserved: [Range<Int>]? = nil, in group: RankGroup
  ) throws(MPIError) -> SharedBytes {
    let isAlone = group.size == 1
    // A way around that all ranks take, or none: with one rank here and two on another node, a rank that
    // left by itself would answer the others' calls with later ones of its own.
    if group.count == worldSize {
      return try together { try SharedBytes(byteCount: byteCount, likeFile: likeFile) }
    }
    let isLeader = rank == group.leader && !isAlone
    let made = try together {
      isLeader ? try SharedBytes.makeFile(byteCount: byteCount, reserved: reserved) : ""
    }
    // The name goes at once where anything fails.
    defer { if isLeader { SharedBytes.removeFile(made) } }
    let path = try allGather(made)[group.leader]
    return try together {
      try isAlone
        ? SharedBytes(byteCount: byteCount, likeFile: likeFile)
        : SharedBytes(file: path, byteCount: byteCount)
    }
  }

  /// The same, for what is never released.
  public func allocateOnNode(byteCount: Int) throws(MPIError) -> SharedBytes {
    try allocateOnNode(byteCount: byteCount, likeFile: false)
  }
}

/// Ranks of one node that share something.
public struct RankGroup: Sendable, Hashable {
  /// The lowest of them.
  public let leader: Int
  /// This rank's number among them, from 0.
  public let rank: Int
  /// How many they are.
  public let size: Int
  /// Such groups in the job.
  public let count: Int

  /// A group as its members know it.
  public init(leader: Int, rank: Int, size: Int, count: Int) {
    (self.leader, self.rank, self.size, self.count) = (leader, rank, size, count)
  }
}

extension Communicator {
  /// Parts each node's ranks by a number that each of them gives; called by all ranks.
  public func groups(by number: Int) throws(MPIError) -> RankGroup {
    var all = [Int64](repeating: 0, count: 2 * worldSize)
    try allGather([Int64(nodeLeader), Int64(number)], into: &all)
    func key(_ rank: Int) -> [Int64] { [all[2 * rank], all[2 * rank + 1]] }
    let members = (0..<worldSize).filter { key($0) == key(rank) }
    return RankGroup(
      leader: members[0], rank: members.firstIndex(of: rank) ?? 0, size: members.count,
      count: Set((0..<worldSize).map(key)).count)
  }
}
