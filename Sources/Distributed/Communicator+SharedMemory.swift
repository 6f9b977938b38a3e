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
  /// - Throws: where the node has no room, on all ranks.
  public func allocateOnNode(
    byteCount: Int, likeFile: Bool
  ) throws(MPIError) -> SharedBytes {
    let isAlone = localSize == 1
    // A way around that all ranks take, or none: with one rank here and two on another node, a rank that
    // left by itself would answer the others' calls with later ones of its own.
    if nodeCount == worldSize {
      return try together { try SharedBytes(byteCount: byteCount, likeFile: likeFile) }
    }
    let isLeader = rank == nodeLeader && !isAlone
    let made = try together { isLeader ? try SharedBytes.makeFile(byteCount: byteCount) : "" }
    // The name goes at once where anything fails.
    defer { if isLeader { SharedBytes.removeFile(made) } }
    let path = try allGather(made)[nodeLeader]
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
