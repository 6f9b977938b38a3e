import JSON

/// How a job is laid on the cores.
public struct Setting: Sendable, Hashable {
  /// Processes.
  public let ranks: Int
  /// Threads of each.
  public let threads: Int
  /// Sequences in one forward and backward.
  public let microBatch: Int

  /// A layout.
  public init(ranks: Int, threads: Int, microBatch: Int) {
    self.ranks = ranks
    self.threads = threads
    self.microBatch = microBatch
  }

  /// Threads of all processes.
  public var totalThreads: Int { ranks * threads }

  /// In a few characters: `2 x 1, micro 2`.
  public var text: String { "\(ranks) x \(threads), micro \(microBatch)" }

  /// The layouts worth trying for a batch of so many sequences on so many cores: one process with
  /// all threads, and a process a core as far as there are sequences.
  public static func candidates(batchSize: Int, cores: Int) -> [Setting] {
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
