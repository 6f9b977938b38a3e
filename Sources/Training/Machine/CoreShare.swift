/// The cores of a node that one of its ranks computes on.
///
/// It knows masks and cores; who asked for how many threads is ``ProcessorShare``'s business.
package struct CoreShare: Hashable {
  /// The cores, each with its logical processors, which are fewer where hyperthreads are shared out.
  package let cores: [[Int]]
  /// Whether no other rank of the node was given any of them.
  package let isExclusive: Bool
  /// Threads for the rank when nobody says how many.
  package let threads: Int

  /// Shares out a node's cores among its ranks.
  ///
  /// Ranks that the launcher gave processors of their own keep them. Ranks with the same mask take
  /// equal parts of it, neighbours by cores; where there are fewer cores than ranks but enough
  /// hyperthreads, those are parted. Masks that overlap otherwise are left as they are.
  ///
  /// - Parameters:
  ///   - masks: the processors that each local rank is allowed, by local rank.
  ///   - quota: processors' time that all of them together may use.
  package static func shares(
    masks: [Set<Int>], topology: ProcessorTopology, quota: Double = .infinity
  ) -> [CoreShare] {
    let ranksByMask = Dictionary(grouping: masks.indices) { masks[$0] }
    let union = masks.reduce(into: Set<Int>()) { $0.formUnion($1) }
    let isParted = ranksByMask.keys.reduce(0) { $0 + $1.count } == union.count
    let budget = quota < Double(union.count) ? max(1, Int(quota) / masks.count) : .max
    return masks.indices.map { rank in
      let ranks = ranksByMask[masks[rank]] ?? [rank]
      var cores = topology.cores(of: masks[rank])
      guard isParted else {
        let fair = topology.cores(of: union).count / masks.count
        return CoreShare(
          cores: cores, isExclusive: false, threads: max(1, min(fair, cores.count, budget)))
      }
      if cores.count < ranks.count && masks[rank].count >= ranks.count {
        cores = cores.flatMap { core in core.map { [$0] } }
      }
      guard cores.count >= ranks.count, let place = ranks.firstIndex(of: rank) else {
        return CoreShare(cores: cores, isExclusive: false, threads: 1)
      }
      let part = (place * cores.count / ranks.count)..<((place + 1) * cores.count / ranks.count)
      // As many threads for each rank of a mask, though an uneven rest gives some a core more.
      return CoreShare(
        cores: Array(cores[part]), isExclusive: true,
        threads: min(cores.count / ranks.count, budget))
    }
  }

  /// Where each of `threads` threads may run; nil where the system had better decide.
  ///
  /// A thread for each core has the core to itself. Fewer or more move about among the rank's own.
  package func places(threads: Int) -> [[Int]]? {
    guard isExclusive else { return nil }
    if threads == cores.count { return cores }
    return Array(repeating: cores.flatMap(\.self).sorted(), count: threads)
  }
}
