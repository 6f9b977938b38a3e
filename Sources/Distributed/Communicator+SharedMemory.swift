import CMPI
import Tensors

extension Communicator {
  /// Memory of `byteCount` zero bytes, one physical copy for the ranks of a node; called by all ranks.
  ///
  /// A file in `/dev/shm`, or in `TMPDIR` where that is too small, which has no name any more once
  /// all have it: however a rank ends, nothing is left behind.
  /// - Throws: where the node has no room, on all ranks.
  public func allocateOnNode(byteCount: Int) throws(MPIError) -> SharedBytes {
    // A way around that all ranks take, or none: with one rank here and two on another node, a rank that
    // left by itself would answer the others' calls with later ones of its own.
    if nodeCount == worldSize { return try together { try SharedBytes(byteCount: byteCount) } }
    let isLeader = rank == nodeLeader
    let made = try together { isLeader ? try SharedBytes.makeFile(byteCount: byteCount) : "" }
    // The name goes at once where anything fails.
    defer { if isLeader { SharedBytes.removeFile(made) } }
    let path = try allGather(made)[nodeLeader]
    return try together { try SharedBytes(file: path, byteCount: byteCount) }
  }
}
