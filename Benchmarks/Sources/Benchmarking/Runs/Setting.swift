import JSON

/// How a job is laid on the cores.
package struct Setting: Sendable, Hashable {
  package let ranks: Int
  /// Threads of each.
  package let threads: Int
  /// Sequences in one forward and backward.
  package let microBatch: Int

  package init(ranks: Int, threads: Int, microBatch: Int) {
    self.ranks = ranks
    self.threads = threads
    self.microBatch = microBatch
  }

  /// Threads of all processes.
  package var totalThreads: Int { ranks * threads }

  /// In a few characters: `2 x 1, micro 2`.
  package var text: String { "\(ranks) x \(threads), micro \(microBatch)" }

  /// The layouts worth trying for a batch of so many sequences on so many cores: one process with
  /// all threads, and a process a core as far as there are sequences.
  package static func candidates(batchSize: Int, cores: Int) -> [Setting] {
    let ranks = (1...min(batchSize, cores)).last { batchSize % $0 == 0 } ?? 1
    var candidates: [Setting] = []
    for (ranks, threads) in [(ranks, max(1, cores / ranks)), (1, cores)] {
      let all = batchSize / ranks
      for microBatch in [all, max(1, all / 2)] {
        let setting = Setting(ranks: ranks, threads: threads, microBatch: microBatch)
        if !candidates.contains(setting) { candidates.append(setting) }
      }
    }
    return candidates
  }
}
