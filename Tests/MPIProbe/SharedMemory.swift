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
    if all < Int64(count) - 4096 * Int64(size) || all > Int64(count) + 4096 * Int64(size) {
      throw ProbeError(what: "\(all) bytes for \(count)")
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

  /// What `/proc/self/smaps` counts for the mapping that starts at an address.
  private static func proportionalBytes(at address: Int) throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/smaps", encoding: .utf8)
    let start = String(address, radix: 16) + "-"
    var isOurs = false
    for line in text.split(separator: "\n") {
      if line.first?.isHexDigit == true && line.contains("-") && !line.contains("kB") {
        isOurs = line.hasPrefix(start)
      } else if isOurs && line.hasPrefix("Pss:") {
        return (Int(line.filter(\.isNumber)) ?? 0) << 10
      }
    }
    throw ProbeError(what: "no mapping at \(start)")
  }
}
