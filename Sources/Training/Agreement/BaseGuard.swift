import DataParallel
import Kernels
import Model

/// Finds where the frozen base no longer is what it was at the start: a file that was changed under
/// the run, or memory that lost a bit.
///
/// Before each checkpoint the base is read again, each block by one of the ranks that share it, for
/// at most 0.05 % of the time since the checkpoint before, and at least 64 MiB a rank. Where that is
/// not all of it, the next checkpoint goes on from there. Besides the mapped files these are what was
/// made of them: weights rounded to bf16 or quantised, vectors in f32.
final class BaseGuard {
  /// Share of the run's time.
  private static let share = 0.0005
  /// Bytes that are read however short the time was.
  private static let fewestBytes = 64 << 20

  /// Seconds that it took so far.
  private(set) var seconds = 0.0
  private let pieces: [BasePiece]
  private let hashes: [UInt64]
  private var verifiedAt: [Int]
  private var next = 0
  private var last = ContinuousClock.now
  private let communicator: Communicator
  private let compute: Compute

  /// Takes the base as it is now.
  init(_ decoder: Decoder, communicator: Communicator, compute: Compute) {
    self.communicator = communicator
    self.compute = compute
    let pieces = decoder.guardedPieces(rank: communicator.localRank, of: communicator.localSize)
    self.pieces = pieces
    hashes = compute.mapBlocks(pieces.count) { pieces[$0].known ?? pieces[$0].hash() }
    verifiedAt = Array(repeating: 0, count: pieces.count)
  }

  /// Reads on; called by all ranks.
  ///
  /// - Throws: on all ranks, `TrainingError.baseChanged` where any finds a difference.
  func verify(step: Int) throws {
    let start = ContinuousClock.now
    let change = findChange(step: step, budget: Self.share * ((start - last) / .seconds(1)))
    for piece in pieces { piece.release() }
    last = .now
    seconds += (last - start) / .seconds(1)
    try communicator.together { if let change { throw change } }
  }

  private func findChange(step: Int, budget: Double) -> TrainingError? {
    let start = ContinuousClock.now
    let chunk = max(2 * compute.threadCount, 4)
    var (done, bytes) = (0, 0)
    while done < pieces.count,
      bytes < Self.fewestBytes || (ContinuousClock.now - start) / .seconds(1) < budget
    {
      let count = min(chunk, pieces.count - done)
      let found = hashes(from: next, count: count)
      for offset in 0..<count {
        let index = (next + offset) % pieces.count
        if found[offset] != hashes[index] {
          return .baseChanged(place: pieces[index].place, since: verifiedAt[index])
        }
        verifiedAt[index] = step
        bytes += pieces[index].byteCount
      }
      next = (next + count) % pieces.count
      done += count
    }
    return nil
  }

  private func hashes(from first: Int, count: Int) -> [UInt64] {
    compute.mapBlocks(count) { pieces[(first + $0) % pieces.count].hash() }
  }
}
