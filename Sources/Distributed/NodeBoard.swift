import Diagnostics
import Synchronization
import Tensors

/// Where the ranks of a node write what they are doing, in memory that they share.
///
/// Each rank writes its own row and reads all. It needs no MPI and waits for nobody, so a thread can
/// look at it while MPI waits.
@safe
final class NodeBoard: @unchecked Sendable {
  // Sendable: rows are atomic numbers in memory that stays mapped.

  /// A row: numbers of 8 bytes on two cache lines.
  private enum Field: Int {
    case beat, count, step, phase, isWaiting, rank, stop
  }
  private static let rowBytes = 128

  /// A rank's row.
  struct Row {
    /// Grows as long as the process runs at all.
    let beat: UInt64
    /// The rank among all.
    let rank: Int
    /// What it does.
    let moment: RunProgress.Moment
  }

  /// Number of rows.
  let count: Int
  /// This process's.
  let own: Int
  private let bytes: SharedBytes

  /// Bytes for the ranks of a node.
  static func byteCount(ranks: Int) -> Int { ranks * rowBytes }

  /// Takes the row of this rank.
  init(_ bytes: SharedBytes, localRank: Int, localSize: Int, rank: Int) {
    self.bytes = bytes
    own = localRank
    count = localSize
    write(.rank, UInt64(rank))
    // Step, phase and waiting follow each other in a row.
    unsafe RunProgress.share(at: place(own, .step))
  }

  private func place(_ row: Int, _ field: Field) -> UnsafeMutablePointer<Atomic<UInt64>> {
    precondition(row >= 0 && row < count, "row \(row) of \(count)")
    // Unsafe: an atomic number lies in memory as the number does; the memory began as zeros.
    return unsafe (bytes.base + row * Self.rowBytes + field.rawValue * 8)
      .assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  private func read(_ row: Int, _ field: Field) -> UInt64 {
    unsafe place(row, field).pointee.load(ordering: .relaxed)
  }

  private func write(_ field: Field, _ value: UInt64) {
    unsafe place(own, field).pointee.store(value, ordering: .relaxed)
  }

  /// Writes how far this process is, and that it lives.
  func publish(_ moment: RunProgress.Moment) {
    write(.count, moment.count)
    write(.beat, read(own, .beat) &+ 1)
  }

  /// What a rank of the node wrote last.
  func row(_ index: Int) -> Row {
    Row(
      beat: read(index, .beat), rank: Int(read(index, .rank)),
      moment: RunProgress.Moment(
        count: read(index, .count), step: read(index, .step),
        phase: RunProgress.Phase(rawValue: read(index, .phase)) ?? .start,
        isWaiting: read(index, .isWaiting) != 0))
  }

  /// Tells the node that this rank was asked to stop.
  func askToStop() { write(.stop, 1) }

  /// Takes that back, when all have stopped.
  func clearStop() { write(.stop, 0) }

  /// Whether any rank of the node was asked to stop.
  var isStopAsked: Bool { (0..<count).contains { read($0, .stop) != 0 } }
}
