import DataParallel
import Foundation
import Model

/// What the frozen base takes of a node's memory, as the kernel counts it.
///
/// Ranks of a node map the same files and make copies of them together, so that there is one base for
/// all of them. The proportional set size (proc_pid_smaps(5), `Pss`) shows whether that is so: of a page
/// that `n` processes have, each is charged `1/n`.
enum BaseMemory {
  /// Bytes on the node that has most; nil where a kernel does not tell.
  ///
  /// Called by all ranks.
  static func ofNode(_ decoder: Decoder, _ communicator: Communicator) throws(MPIError) -> Int? {
    // All ranks hold all of it while any looks.
    try communicator.barrier()
    let own = ofThisProcess(decoder)
    let figures = [Int64(communicator.nodeLeader), Int64(own ?? -1)]
    var all = [Int64](repeating: 0, count: 2 * communicator.worldSize)
    try communicator.allGather(figures, into: &all)
    var ofNode: [Int64: Int64] = [:]
    for rank in 0..<communicator.worldSize {
      if all[2 * rank + 1] < 0 { return nil }
      ofNode[all[2 * rank], default: 0] += all[2 * rank + 1]
    }
    return ofNode.values.max().map { Int($0) }
  }

  /// This process's share of what its frozen matrices lie in.
  static func ofThisProcess(_ decoder: Decoder) -> Int? {
    guard let mappings = Mapping.all() else { return nil }
    var bytes = 0
    var seen: Set<Int> = []
    var counted: Set<Int> = []
    for parameter in decoder.parameters where parameter.vector == nil && !parameter.isTrainable {
      for weight in [parameter.matrix, parameter.operand] {
        guard seen.insert(weight.address).inserted,
          let index = mappings.lastIndex(where: { $0.start <= weight.address }),
          weight.address < mappings[index].end
        else { continue }
        if !mappings[index].isFile {
          // Memory of this process alone, in one mapping with its neighbours.
          bytes += weight.byteCount
        } else if counted.insert(index).inserted {
          bytes += mappings[index].share
        }
      }
    }
    return bytes
  }
}

/// A stretch of this process's addresses, as `/proc/self/smaps` tells.
private struct Mapping {
  let start: Int
  let end: Int
  /// Whether it shows a file, one without a name included.
  let isFile: Bool
  /// Bytes that this process is charged.
  var share = 0

  /// All of them, by address.
  static func all() -> [Mapping]? {
    guard let file = FileHandle(forReadingAtPath: "/proc/self/smaps") else { return nil }
    defer { try? file.close() }
    // Piece by piece: the kernel gives less than is asked for, which is not the end.
    var data = Data()
    while let piece = try? file.read(upToCount: 1 << 16), !piece.isEmpty { data += piece }
    var mappings: [Mapping] = []
    for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
      if line.hasPrefix("Pss:") {
        guard let kibibytes = Int(line.filter(\.isNumber)), !mappings.isEmpty else { return nil }
        mappings[mappings.count - 1].share = kibibytes << 10
        continue
      }
      // start-end permissions offset device number name
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      let places = fields.first?.split(separator: "-") ?? []
      guard fields.count >= 5, places.count == 2, let start = Int(places[0], radix: 16),
        let end = Int(places[1], radix: 16)
      else { continue }
      mappings.append(Mapping(start: start, end: end, isFile: fields[4] != "0"))
    }
    return mappings.isEmpty ? nil : mappings
  }
}
