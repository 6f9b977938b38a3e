import DataParallel
import Foundation
import Tensors

/// Memory that the ranks of a node share.
enum SharedMemory {
  static func check(_ communicator: Communicator) throws {
    let (rank, size) = (communicator.localRank, communicator.localSize)
    let count = 3 << 20
    let bytes = try communicator.allocateOnNode(byteCount: count)
    for place in [0, count / 2, count - 1] {
      try expect(bytes.base.load(fromByteOffset: place, as: UInt8.self), 0, "new memory")
    }
    try communicator.barrier()
    for place in (count * rank / size)..<(count * (rank + 1) / size) {
      bytes.base.storeBytes(
        of: UInt8(truncatingIfNeeded: place % 251), toByteOffset: place, as: UInt8.self)
    }
    try communicator.barrier()
    bytes.seal()
    for place in 0..<count {
      try expect(
        bytes.base.load(fromByteOffset: place, as: UInt8.self), UInt8(place % 251), "byte \(place)")
    }
    try communicator.barrier()
    // Each rank's proportional share of the pages that it maps; together they are one copy.
    // Private memory of a single rank may lie in one mapping with its neighbours.
    let share = size > 1 ? try proportionalBytes(at: Int(bitPattern: bytes.base)) : count
    let all = try communicator.allReduce(Int64(share), .sum)
    let expected = Int64(count * communicator.nodeCount)
    let slack = 4096 * Int64(communicator.worldSize)
    if all < expected - slack || all > expected + slack {
      throw ProbeError(what: "\(all) bytes for \(expected)")
    }
    try communicator.barrier()
    let left = try FileManager.default.contentsOfDirectory(atPath: "/dev/shm")
    try expect(left.filter { $0.hasPrefix("swift-peft-train-\(getpid())-") }, [], "files")

    // More than any machine has: told on all ranks alike, and the job goes on.
    do {
      _ = try communicator.allocateOnNode(byteCount: 1 << 52)
      throw ProbeError(what: "four petabytes were found")
    } catch let error as MPIError where error.isThrownByAllRanks {
      if size > 1 && !error.description.contains("TMPDIR") { throw error }
    }
    if communicator.rank == 0 { print("memory shared by \(communicator.worldSize) ranks is right") }
  }

  /// Each number of each round is taken once on a node.
  static func checkCounter(_ communicator: Communicator) throws {
    let counter = try SharedCounter(communicator)
    var words = [Int64](repeating: 0, count: communicator.worldSize)
    try communicator.allGather([Int64(communicator.nodeLeader)], into: &words)
    for (index, limit) in [10_000, 0, 1, 500, 3].enumerated() {
      var taken = [Int64](repeating: 0, count: limit)
      while let number = counter.next(round: 2 * index + 1, below: limit) { taken[number] += 1 }
      // Nobody enters the next round before all have left this one.
      try communicator.barrier()
      // Together every rank took its node's.
      try communicator.allReduce(&taken, .sum)
      try expect(taken.allSatisfy { $0 == Int64(Set(words).count) }, true, "numbers below \(limit)")
    }
    if communicator.rank == 0 { print("numbers of \(communicator.nodeCount) nodes are right") }
  }

  /// Bytes of the first node of each group come to its others, in pieces.
  static func checkSend(_ communicator: Communicator) throws {
    let groups = try communicator.nodeGroups(of: 2)
    try expect(groups.readerCount, (communicator.nodeCount + 1) / 2, "nodes that read")
    for count in [0, 1, 5 << 20, Communicator.pieceBytes + 12_345] {
      let bytes = try communicator.allocateOnNode(byteCount: count, likeFile: true)
      func value(_ place: Int) -> UInt8 { UInt8(truncatingIfNeeded: place % 241 + groups.reader) }
      if groups.isReader && communicator.localRank == 0 {
        for place in 0..<count {
          bytes.base.storeBytes(of: value(place), toByteOffset: place, as: UInt8.self)
        }
      }
      try communicator.send(bytes.view(0..<count), in: groups)
      bytes.seal()
      for place in stride(from: 0, to: count, by: 997) {
        try expect(
          bytes.base.load(fromByteOffset: place, as: UInt8.self), value(place), "byte \(place)")
      }
      guard count > 3 << 20 else { continue }
      // Released pages keep what is in them, discarded ones are zeros everywhere.
      MappedRanges.releasePages(UnsafeRawBufferPointer(start: bytes.base, count: count))
      try expect(
        bytes.base.load(fromByteOffset: 70_001, as: UInt8.self), value(70_001), "a released byte")
      try communicator.barrier()
      if communicator.localRank == 0 { bytes.discard((1 << 20)..<(2 << 20)) }
      try communicator.barrier()
      try expect(bytes.base.load(fromByteOffset: 3 << 19, as: UInt8.self), 0, "a discarded byte")
      try expect(
        bytes.base.load(fromByteOffset: 3 << 20, as: UInt8.self), value(3 << 20), "one behind")
    }
    if communicator.rank == 0 { print("bytes for \(communicator.nodeCount) nodes are right") }
  }

  /// What `/proc/self/smaps` counts for the mapping that starts at an address.
  private static func proportionalBytes(at address: Int) throws -> Int {
    guard let file = FileHandle(forReadingAtPath: "/proc/self/smaps") else {
      throw ProbeError(what: "/proc/self/smaps cannot be read")
    }
    // Piece by piece: the kernel gives less than is asked for, which is not the end.
    var data = Data()
    while let piece = try file.read(upToCount: 1 << 16), !piece.isEmpty { data += piece }
    let text = String(decoding: data, as: UTF8.self)
    let start = String(address, radix: 16) + "-"
    var isOurs = false
    for line in text.split(separator: "\n") {
      if line.first?.isHexDigit == true && line.contains("-") && !line.contains("kB") {
        isOurs = line.hasPrefix(start)
      } else if isOurs && line.hasPrefix("Pss:") {
        return (Int(line.filter(\.isNumber)) ?? 0) << 10
      }
    }
    throw ProbeError(what: "no mapping at \(start) in \(text.count) characters")
  }
}
