import CMPI
import Diagnostics
import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A thread that ends the job when a rank no longer gets on, and says which.
///
/// It waits for nobody: it reads what ranks of its node write in memory that they share
/// (``NodeBoard``), and the signs of life between nodes (``NodeBeats``); it calls MPI only to end the
/// job. It judges so:
///
/// - A rank that neither waits for others nor gets on for the time given speaks for itself.
/// - A rank of which nothing at all is seen for so long (stopped, dead, frozen) is named by the lowest
///   rank of its node that lives.
/// - A node of which nothing is heard for so long, while this rank waits, is named by rank 0; rank 0's
///   node by the lowest ranks of the others.
/// - Where all ranks of a node wait for so long, somebody elsewhere stalls, or ranks wait for each
///   other in different places: after a quarter of the time more they say where each of them waits.
///
/// Time is counted in looks that it took itself, so that a job that was suspended as a whole, or a
/// laptop that slept, does not count as stalled.
final class StallWatch: Sendable {
  /// One rank's signs, as this rank has seen them.
  private struct Sighting {
    var beat: UInt64 = 0
    var count: UInt64 = 0
    var secondsSinceBeat = 0.0
    var secondsSinceProgress = 0.0
  }

  /// A conclusion.
  struct Verdict: Equatable {
    /// What happened, a sentence.
    let text: String
    /// Seconds beyond the timeout that this rank leaves to those who know better.
    let patience: Double
  }

  private let board: NodeBoard
  private let beats: NodeBeats?
  private let worldSize: Int
  private let nodeCount: Int
  private let node: String
  private let timeout = Mutex(0.0)
  private let isOver = Atomic<Bool>(false)

  init(
    _ board: NodeBoard, beats: NodeBeats?, worldSize: Int, nodeCount: Int, node: String
  ) {
    self.board = board
    self.beats = beats
    self.worldSize = worldSize
    self.nodeCount = nodeCount
    self.node = node
  }

  /// Seconds without progress that are let pass; 0 for any.
  var seconds: Double {
    get { timeout.withLock { $0 } }
    set { timeout.withLock { $0 = newValue } }
  }

  /// Ends the watch.
  func end() { isOver.store(true, ordering: .relaxed) }

  /// Watches until the end of the process, or of the watch.
  func start() {
    board.publish(RunProgress.now)
    Thread.detachNewThread { [self] in
      var sightings = [Sighting](repeating: Sighting(), count: board.count)
      var heard = beats?.noSightings ?? []
      var secondsSinceSending = Double.infinity
      var last = ContinuousClock.now
      while !isOver.load(ordering: .relaxed) {
        let limit = seconds
        let period = limit > 0 ? min(1, limit / 20) : 1
        usleep(UInt32(period * 1e6))
        let now = ContinuousClock.now
        // A look that comes late tells of this process, not of the others.
        let passed = min((now - last) / .seconds(1), 2 * period)
        last = now
        board.publish(RunProgress.now)
        look(&sightings, passed)
        // Sixty in the time that is let pass: some may be lost.
        secondsSinceSending += passed
        let sends = secondsSinceSending >= min(limit / 60, 10)
        beats?.exchange(&heard, passed: passed, moment: RunProgress.now, sends: sends)
        if sends { secondsSinceSending = 0 }
        guard limit > 0, !isOver.load(ordering: .relaxed), isSuspicious(sightings, limit),
          let verdict = verdict(sightings, heard, limit)
        else { continue }
        leave(verdict)
      }
    }
  }

  private func look(_ sightings: inout [Sighting], _ passed: Double) {
    for index in sightings.indices {
      let row = board.row(index)
      sightings[index].secondsSinceBeat += passed
      sightings[index].secondsSinceProgress += passed
      if row.beat != sightings[index].beat { sightings[index].secondsSinceBeat = 0 }
      if row.moment.count != sightings[index].count { sightings[index].secondsSinceProgress = 0 }
      (sightings[index].beat, sightings[index].count) = (row.beat, row.moment.count)
    }
  }

  /// Whether there is anything to judge; allocates nothing, since it is asked while steps run.
  private func isSuspicious(_ sightings: [Sighting], _ limit: Double) -> Bool {
    for sighting in sightings
    where sighting.secondsSinceBeat >= limit || sighting.secondsSinceProgress >= limit {
      return true
    }
    return false
  }

  /// What this rank has to say, once its patience is over.
  private func verdict(
    _ sightings: [Sighting], _ heard: [NodeBeats.Sighting], _ limit: Double
  ) -> Verdict? {
    let own = board.row(board.own)
    let time = DurationText.text(seconds: limit)
    let frozen = sightings.indices.filter {
      $0 != board.own && sightings[$0].secondsSinceBeat >= limit
    }
    if let first = frozen.first {
      let place = sightings.indices.filter { !frozen.contains($0) && $0 < board.own }.count
      let patience = 3.0 * Double(place)
      guard sightings[first].secondsSinceBeat >= limit + patience else { return nil }
      return Verdict(
        text:
          "\(name(first)) shows no sign of life for \(time): its process was stopped or killed, or its node no longer answers. It was last seen \(Self.place(board.row(first).moment)).",
        patience: patience)
    }
    guard sightings[board.own].secondsSinceProgress >= limit else { return nil }
    if !own.moment.isWaiting {
      return Verdict(
        text: "\(name(board.own)) made no progress for \(time), \(Self.place(own.moment)).",
        patience: 0)
    }
    if let beats {
      let silent = beats.silent(heard, limit: limit)
      if let first = silent.first {
        // Where rank 0's node is silent, the others speak by turns.
        let patience = Double(min(beats.own, 10))
        guard sightings[board.own].secondsSinceProgress >= limit + patience else { return nil }
        let subject = silent.prefix(4).map { Self.name(beats.nodes[$0]) }.joined(separator: ", ")
        let more = silent.count > 4 ? " and \(silent.count - 4) more nodes" : ""
        let verb = silent.count > 1 ? "show" : "shows"
        return Verdict(
          text:
            "\(subject)\(more) \(verb) \(node) no sign of life for \(time): down, cut off, or stopped. \(beats.nodes[first].name) was last seen \(Self.place(heard[first].moment)).",
          patience: patience)
      }
    }
    // Others of this node that do not wait get on, or speak for themselves.
    let waiting = sightings.indices.filter {
      board.row($0).moment.isWaiting && sightings[$0].secondsSinceProgress >= limit
    }
    guard waiting.count == sightings.count else { return nil }
    let patience = max(limit / 4, 1) + 3 * Double(board.own) + (nodeCount > 1 ? 2 : 0)
    guard sightings[board.own].secondsSinceProgress >= limit + patience else { return nil }
    let places = waiting.prefix(8).map {
      "rank \(board.row($0).rank) \(Self.place(board.row($0).moment))"
    }.joined(separator: "; ")
    let where_ =
      nodeCount > 1
      ? "ranks of other nodes that do not come" : "each other, or for a message that does not come"
    return Verdict(
      text: "All ranks of \(node) wait for \(where_), for more than \(time): \(places).",
      patience: patience)
  }

  private func name(_ index: Int) -> String {
    "rank \(board.row(index).rank) of \(worldSize) (on \(node))"
  }

  private static func name(_ node: NodeBeats.Node) -> String {
    let ranks = node.ranks.prefix(8).map(String.init).joined(separator: ", ")
    let more = node.ranks.count > 8 ? " …" : ""
    return "node \(node.name) (rank\(node.ranks.count > 1 ? "s" : "") \(ranks)\(more))"
  }

  private static func place(_ moment: RunProgress.Moment) -> String {
    let place = moment.isWaiting ? ", waiting for other ranks" : ""
    return moment.step == 0
      ? "while \(moment.phase.text)\(place)"
      : "in step \(moment.step), \(moment.phase.text)\(place)"
  }

  private func leave(_ verdict: Verdict) -> Never {
    let rank = board.row(board.own).rank
    let prefix = worldSize > 1 ? "[rank \(rank)/\(worldSize)] " : "error: "
    let text =
      "\(prefix)\(verdict.text) The job ends; go on from the last checkpoint with --resume (--stall-timeout sets how long is waited).\n"
    let bytes = Array(text.utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    Communicator.endJobNow(status: 1)
  }
}

extension Communicator {
  /// Ends all processes of the job from any thread, also while another one waits in MPI.
  ///
  /// MPI may be in the middle of something: where it does not end the process in ten seconds, the
  /// system does, which the launcher notices.
  static func endJobNow(status: Int32) -> Never {
    _ = signal(SIGALRM, SIG_DFL)
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGALRM)
    unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
    alarm(10)
    var (hasBegun, hasEnded): (CInt, CInt) = (0, 0)
    if cmpi_is_loaded() != 0 {
      unsafe _ = cmpi_initialized(&hasBegun)
      unsafe _ = cmpi_finalized(&hasEnded)
    }
    if hasBegun != 0 && hasEnded == 0 {
      waitForErrorReader()
      _ = cmpi_abort(cmpi_world(), status)
    }
    _exit(status)
  }
}
