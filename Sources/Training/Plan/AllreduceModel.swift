import DataParallel
import Foundation

/// What an allreduce takes: the rounds of the algorithm that Open MPI chooses, each by LogGP.
///
/// Which algorithm it is follows from bytes and ranks, as in Open MPI's fixed decisions (4.1 and 5,
/// component `tuned`). Rounds are those of Thakur, Rabenseifner, Gropp: "Optimization of collective
/// communication operations in MPICH", IJHPCA 19 (2005). Ranks of a node follow each other, so that
/// those at a distance below their number talk through memory, and all of a node share its link.
package struct AllreduceModel {
  /// An algorithm of Open MPI.
  package enum Algorithm: String {
    case recursiveDoubling = "recursive doubling"
    case rabenseifner = "Rabenseifner"
    case ring = "ring"
    case reduceAndBroadcast = "reduce and broadcast"
  }

  /// All ranks.
  let ranks: Int
  /// Those of them that share a node.
  let ranksPerNode: Int
  /// Between nodes.
  let network: NetworkModel
  /// Seconds that summing a byte takes, of integers of 64 bits that come from memory.
  let sumSecondsPerByte: Double

  /// An allreduce over so many ranks.
  package init(
    ranks: Int, ranksPerNode: Int, network: NetworkModel, sumSecondsPerByte: Double = 1 / 8e9
  ) {
    (self.ranks, self.ranksPerNode, self.network) = (ranks, ranksPerNode, network)
    self.sumSecondsPerByte = sumSecondsPerByte
  }

  /// The one that is taken for so many bytes.
  ///
  /// - Parameter count: numbers in the message; rings need one for each rank.
  package static func algorithm(bytes: Int, count: Int, ranks: Int) -> Algorithm {
    // Bytes from which on an algorithm is taken, by number of ranks.
    let choices: [(below: Int, [(from: Int, Algorithm)])] = [
      (
        4,
        [
          (0, .ring), (8, .recursiveDoubling), (4_096, .ring), (8_192, .recursiveDoubling),
          (16_384, .ring), (262_144, .rabenseifner),
        ]
      ),
      (8, [(0, .ring), (16, .recursiveDoubling), (8_192, .rabenseifner)]),
      (16, [(0, .recursiveDoubling), (8_192, .rabenseifner)]),
      (32, [(0, .ring), (64, .recursiveDoubling), (4_096, .rabenseifner)]),
      (64, [(0, .ring), (128, .rabenseifner)]),
      (128, [(0, .recursiveDoubling), (262_144, .rabenseifner)]),
      (
        256, [(0, .reduceAndBroadcast), (131_072, .recursiveDoubling), (262_144, .rabenseifner)]
      ),
      (512, [(0, .reduceAndBroadcast), (4_096, .rabenseifner)]),
      (
        2_048, [(0, .reduceAndBroadcast), (2_048, .recursiveDoubling), (16_384, .rabenseifner)]
      ),
      (
        4_096,
        [
          (0, .reduceAndBroadcast), (2_048, .ring), (4_096, .recursiveDoubling),
          (16_384, .rabenseifner),
        ]
      ),
      (
        .max,
        [
          (0, .reduceAndBroadcast), (2_048, .ring), (16_384, .recursiveDoubling),
          (32_768, .rabenseifner),
        ]
      ),
    ]
    let row = choices.first { ranks < $0.below } ?? choices[choices.count - 1]
    let chosen = row.1.last { bytes >= $0.from }?.1 ?? .recursiveDoubling
    // Both cut the message by ranks, and give it to recursive doubling where it is too short.
    let leastCount = chosen == .rabenseifner ? Self.powerOfTwo(atMost: ranks) : ranks
    let isCut = chosen == .ring || chosen == .rabenseifner
    return isCut && count < leastCount ? .recursiveDoubling : chosen
  }

  /// Seconds of one allreduce.
  ///
  /// - Parameters:
  ///   - bytes: of the message.
  ///   - elementBytes: of a number in it.
  package func seconds(bytes: Int, elementBytes: Int = 8) -> Double {
    guard ranks > 1, bytes > 0 else { return 0 }
    let n = Double(bytes)
    let power = Self.powerOfTwo(atMost: ranks)
    let distances = sequence(first: 1) { 2 * $0 < power ? 2 * $0 : nil }
    switch Self.algorithm(bytes: bytes, count: bytes / elementBytes, ranks: ranks) {
    case .recursiveDoubling:
      // What is beyond a power of two gives its numbers to a neighbour and gets the sums from it.
      return fold(ranks > power, n) + distances.reduce(0) { $0 + round(n, $1, isSummed: true) }
    case .rabenseifner:
      var (time, part) = (fold(ranks > power, n), n)
      for distance in distances {
        part /= 2
        // Halves go out and are summed; later the sums come back.
        time += round(part, distance, isSummed: true) + round(part, distance, isSummed: false)
      }
      return time
    case .ring:
      let part = n / Double(ranks)
      // All wait for the slowest link, which one rank of a node has for itself.
      let link = ranks > ranksPerNode ? network : .sharedMemory
      let message = link.message(bytes: part)
      return Double(ranks - 1) * (2 * message + part * sumSecondsPerByte)
    case .reduceAndBroadcast:
      let up = distances.reduce(0) { $0 + tree(n, $1) + n * sumSecondsPerByte }
      return up + distances.reduce(0) { $0 + tree(n, $1) } + 2 * fold(ranks > power, n)
    }
  }

  /// What a step takes: exponents of the gradients' grid, the gradients in pieces, the totals.
  ///
  /// - Parameters:
  ///   - gradients: numbers that are reduced, 8 bytes each.
  ///   - tensors: that they are of, 4 bytes each.
  package func step(gradients: Int, tensors: Int) -> Double {
    guard ranks > 1 else { return 0 }
    let piece = GradientReducer.pieceCount
    let (whole, rest) = gradients.quotientAndRemainder(dividingBy: piece)
    return seconds(bytes: 4 * (tensors + GradientReducer.extraCount), elementBytes: 4)
      + Double(whole) * seconds(bytes: 8 * piece) + seconds(bytes: 8 * rest)
      + seconds(bytes: StepTotals.byteCount)
  }

  /// A round in which all ranks exchange with those at a distance.
  private func round(_ bytes: Double, _ distance: Int, isSummed: Bool) -> Double {
    let local = min(ranksPerNode, ranks)
    let sum = isSummed ? bytes * sumSecondsPerByte : 0
    // Where a node's number of ranks is no multiple of the pairs, some pairs are parted by its border.
    let crossing =
      ranks == local ? 0 : distance >= local ? local : local % (2 * distance) == 0 ? 0 : distance
    if crossing == 0 { return NetworkModel.sharedMemory.message(bytes: bytes) + sum }
    return network.message(bytes: bytes, sharers: crossing) + sum
  }

  /// A level of a tree: one message a pair, and one link a node.
  private func tree(_ bytes: Double, _ distance: Int) -> Double {
    let link = distance >= ranksPerNode ? network : .sharedMemory
    return link.message(bytes: bytes)
  }

  private func fold(_ isNeeded: Bool, _ bytes: Double) -> Double {
    isNeeded ? round(bytes, 1, isSummed: true) + round(bytes, 1, isSummed: false) : 0
  }

  private static func powerOfTwo(atMost number: Int) -> Int {
    1 << (Int.bitWidth - 1 - number.leadingZeroBitCount)
  }
}
