import DataParallel
import Kernels
import Model

/// Reads every byte of a base, once a node.
///
/// Ranks of a node that mapped the same files (device, inode, size, times) look through one page
/// cache and divide the blocks. Any other rank reads its own copy whole, since that copy is what
/// it computes with. Digests are not kept from run to run: a file's times tell of writes, not of
/// what disks, caches and memory do to its bytes, which is what this is there to find. Reading is
/// no loss, for the first step needs every byte in memory.
struct BaseScan {
  let communicator: Communicator
  /// The blocks that this rank reads.
  let own: [Int]
  private let contents: BaseContents
  private let compute: Compute
  private let replaced: Set<String>
  private let sharers: [Int]
  private var scans: [BaseContents.Scan?]

  /// Divides the blocks; called by all ranks.
  ///
  /// - Parameter replaced: tensors of which copies will be made, that need not stay in memory until then:
  ///   else the process would begin with more than it ever needs again.
  init(
    _ decoder: Decoder, _ communicator: Communicator, _ compute: Compute,
    releasing replaced: Set<String>
  ) throws(MPIError) {
    (self.communicator, self.compute, self.replaced) = (communicator, compute, replaced)
    contents = decoder.contents
    let places = try communicator.allGather("\(communicator.nodeLeader) \(contents.identity)")
    sharers = places.indices.filter { places[$0] == places[communicator.rank] }
    let place = sharers.firstIndex(of: communicator.rank) ?? 0
    own = Array(stride(from: place, to: contents.blockCount, by: sharers.count))
    scans = Array(repeating: nil, count: own.count)
  }

  /// Reads this rank's blocks of some tensors.
  mutating func read(_ isWanted: (_ tensor: String) -> Bool) {
    let (contents, own, replaced) = (self.contents, self.own, self.replaced)
    let places = own.indices.filter { isWanted(contents.tensorName(own[$0])) }
    let found = compute.mapBlocks(places.count) { index in
      let block = own[places[index]]
      defer { if !replaced.isEmpty { contents.release([block], of: replaced) } }
      return contents.scan(block)
    }
    for (place, scan) in zip(places, found) { scans[place] = scan }
    // Reading one brings pages of its neighbours along.
    contents.release(places.map { own[$0] }, of: replaced)
  }

  /// Throws where a number that was read is not finite.
  func check() throws {
    for (scan, block) in zip(scans, own) {
      if let scan, let error = contents.error(scan, block: block) { throw error }
    }
  }

  /// The hashes of all blocks, whoever read them; called by all ranks when all has been read.
  func hashes() throws(MPIError) -> [UInt64] {
    let all = try communicator.allGather(bytes: scans.flatMap { Self.bytes(of: $0?.hash ?? 0) })
    var hashes = [UInt64](repeating: 0, count: contents.blockCount)
    for (place, rank) in sharers.enumerated() {
      for (index, block) in stride(from: place, to: hashes.count, by: sharers.count).enumerated() {
        hashes[block] = Self.word(at: index, in: all[rank])
      }
    }
    return hashes
  }

  private static func bytes(of word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
  }

  private static func word(at index: Int, in bytes: [UInt8]) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(bytes[8 * index + $1]) << (8 * UInt64($1)) }
  }
}
