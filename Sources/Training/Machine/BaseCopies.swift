import DataParallel
import Files
import Foundation
import Model
import Tensors

/// How many copies of the base a node keeps.
public enum BaseCopies: String, Sendable, CaseIterable {
  /// One, whatever the node's memory is made of.
  case node
  /// One in each NUMA domain that has ranks, so that all of them read near memory.
  case numa
}

/// The ranks of a node that share a copy of the base.
public struct BaseSharers: NodeMembers {
  /// The environment variable that pretends domains of so many ranks: what several domains do can be tried
  /// on a machine that has one.
  static let ranksPerDomainVariable = "SWIFT_PEFT_TRAIN_RANKS_PER_DOMAIN"

  private let communicator: Communicator
  private let group: RankGroup
  /// Copies on this node.
  public let copiesOnNode: Int

  /// This rank's number among them, from 0.
  public var localRank: Int { group.rank }
  /// How many they are.
  public var localSize: Int { group.size }

  /// Called by all ranks.
  ///
  /// - Parameters:
  ///   - copies: one a node, or one a NUMA domain.
  ///   - processors: those that this rank computes on.
  ///   - communicator: of all ranks.
  public init(
    _ copies: BaseCopies, processors: Set<Int>, _ communicator: Communicator
  ) throws(MPIError) {
    self.communicator = communicator
    var domain = 0
    if copies == .numa {
      let ranks = ProcessInfo.processInfo.environment[Self.ranksPerDomainVariable].flatMap {
        Int($0)
      }
      domain =
        ranks.map { communicator.localRank / max($0, 1) } ?? MemoryDomains().domain(of: processors)
    }
    group = try communicator.groups(by: domain)
    let places = try communicator.allGather("\(communicator.nodeLeader) \(group.leader)")
    copiesOnNode = Set(places.filter { $0.hasPrefix("\(communicator.nodeLeader) ") }).count
  }

  /// Memory that all of them share, all zero; called by all ranks.
  public func allocateOnNode(byteCount: Int) throws -> SharedBytes {
    try communicator.allocate(byteCount: byteCount, likeFile: false, in: group)
  }

  /// Returns once all ranks have come here.
  public func barrier() throws { try communicator.barrier() }

  /// The files of a base in memory of this copy's own, where a node keeps several; called by all ranks.
  ///
  /// Each sharer copies a part of each file, so that its pages come to lie near it.
  /// - Throws: on all ranks, where any has no room or cannot read.
  public func copy(_ map: FileMap, of model: String) throws -> FileMap {
    let most = try communicator.allReduce(Int64(copiesOnNode), .maximum)
    guard most > 1 else { return map }
    let isCopied = copiesOnNode > 1
    let files = try communicator.together {
      isCopied ? try ModelLocation.weightFiles(of: model, map) : []
    }
    // Each begins on a page, so that giving one up leaves its neighbours alone.
    let page = 1 << 16
    var starts = [0]
    for file in files {
      starts.append((starts.last ?? 0) + (file.byteCount + page - 1) / page * page)
    }
    let bytes = try communicator.allocate(
      byteCount: starts.last ?? 0, likeFile: true, in: group)
    for (file, start) in zip(files, starts) {
      let pages = (file.byteCount + page - 1) / page
      func edge(_ sharer: Int) -> Int { min(pages * sharer / localSize * page, file.byteCount) }
      let part = edge(localRank)..<edge(localRank + 1)
      if part.isEmpty { continue }
      file.prefetch(part)
      file.copy(part, into: bytes, at: start + part.lowerBound)
    }
    try communicator.barrier()
    guard isCopied else { return map }
    bytes.seal()
    return FileMap(
      received: zip(files, starts).map { file, start in
        MappedFile(
          path: file.path, received: bytes, start..<(start + file.byteCount),
          place: "domain of rank \(group.leader)")
      })
  }
}
