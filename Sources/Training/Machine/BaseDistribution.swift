import DataParallel
import Diagnostics
import Files
import Foundation
import Model
import Tensors

/// How the base comes to the nodes.
public enum BaseDistribution: String, Sendable, CaseIterable {
  /// By reading where that is no slower, else by messages.
  case auto
  /// Every node reads it.
  case read
  /// One node in `BaseFiles.nodesPerReader` reads it and sends it to the others.
  case broadcast
}

/// The files of a base's weights on every node: as they lie there, or as another node sent them.
///
/// What was sent lies in memory that the ranks of a node share, and is read, checked and hashed as the
/// files are; so ranks that have received other bytes than were read are found (`BaseModel`).
package struct BaseFiles {
  /// Nodes that one reads for: few enough readers for a disk that all share, enough of them that
  /// messages go a few hops.
  package static let nodesPerReader = 32
  /// Bases of fewer bytes are read without measuring which way is faster.
  static let fewestBytes = 32 << 20

  /// Where the bytes come from.
  package private(set) var map = FileMap.disk
  /// What was done, for the log; nil where there was no choice.
  package private(set) var sentence: String?
  /// The projections that are sent one by one, when they are asked for; nil where all bytes are there.
  private(set) var arriving: ArrivingTensors?

  /// Brings the files of `model` to all nodes; called by all ranks.
  ///
  /// - Parameters:
  ///   - model: model directory or GGUF file.
  ///   - choice: whether nodes read, receive, or do what is faster.
  ///   - communicator: of all ranks.
  ///   - isQuantized: whether projections will be quantised: each is then sent when it is next, so that no
  ///     node ever holds all of them as they are stored.
  /// - Throws: on all ranks, where a node that must read cannot, or one that receives has no room.
  package init(
    _ model: String, _ choice: BaseDistribution, _ communicator: Communicator,
    isQuantized: Bool = false
  ) throws {
    guard choice != .read, communicator.nodeCount > 1 else { return }
    let groups = try communicator.nodeGroups(of: Self.nodesPerReader)
    var reason = ""
    if choice == .auto {
      // A node that has no files may receive them.
      var own: [MappedFile]? = []
      if communicator.localRank == 0 { own = try? ModelLocation.weightFiles(of: model) }
      let lacking = try communicator.allReduce(Int32(own == nil ? 1 : 0), .sum)
      if lacking == 0 {
        let speed = try BaseSpeed(own ?? [], groups, communicator)
        reason = speed.reason
        guard speed.isBroadcastFaster else {
          sentence = "base read by each of \(communicator.nodeCount) nodes\(reason)"
          return
        }
      }
    }
    let files = try communicator.together {
      groups.isReader ? try ModelLocation.weightFiles(of: model) : []
    }
    let places = try communicator.together {
      groups.isReader && communicator.localRank == 0 && isQuantized
        ? try Decoder(directory: model, finiteCheck: (part: 0, of: 0)).placesOfProjections : []
    }
    (map, arriving) = try Self.receive(files, later: places, groups, communicator)
    let readers = groups.readerCount
    sentence =
      "base read by \(readers) of \(communicator.nodeCount) nodes and sent to the others\(reason)"
  }

  /// Sends files from the nodes that read to the others.
  ///
  /// - Parameter later: on the lowest rank of a node that reads, what is not sent yet.
  private static func receive(
    _ files: [MappedFile], later: [StoredPlace], _ groups: NodeGroups, _ communicator: Communicator
  ) throws -> (FileMap, ArrivingTensors?) {
    let list = FileList(
      files: files.map { ($0.path, $0.byteCount) }, later: later)
    let isSender = groups.isReader && communicator.localRank == 0
    let lists = try communicator.allGather(isSender ? list.text : "")
    // Files are sent one after the other to all groups at once, so all readers must have the same.
    try communicator.agree(
      on: [SharedFact("files", lists[groups.reader])], of: "the files of the base",
      remedy: "Copy them anew to where they differ.", errorClass: .input)
    let sent = FileList(text: lists[groups.reader])
    // Each file begins on a page, so that giving one up leaves its neighbours alone.
    let page = 1 << 16
    var starts = [0]
    for entry in sent.files {
      starts.append(starts[starts.count - 1] + (entry.byteCount + page - 1) / page * page)
    }
    let ranges = sent.files.indices.map { sent.rangesAtOnce(of: $0) }
    let bytes = try communicator.allocateOnNode(
      byteCount: groups.isReader ? 0 : starts[sent.files.count], likeFile: true,
      reserved: groups.isReader || sent.later.isEmpty
        ? nil
        : zip(ranges, starts).flatMap { ranges, start in
          ranges.map { ($0.lowerBound + start)..<($0.upperBound + start) }
        })
    var received: [MappedFile] = []
    for (index, entry) in sent.files.enumerated() {
      if groups.isReader {
        let file = files[index]
        try communicator.send(file.view, ranges[index], in: groups) { file.prefetch($0) }
        for range in ranges[index] { file.release(range) }
      } else {
        let range = starts[index]..<(starts[index] + entry.byteCount)
        try communicator.send(bytes.view(range), ranges[index], in: groups)
        received.append(MappedFile(path: entry.path, received: bytes, range))
      }
    }
    let arriving =
      sent.later.isEmpty
      ? nil
      : ArrivingTensors(
        sent.later, files: groups.isReader ? files : received, starts: starts,
        bytes: groups.isReader ? nil : bytes, groups, communicator)
    if groups.isReader { return (.disk, arriving) }
    if arriving == nil { bytes.seal() }
    return (FileMap(received: received), arriving)
  }
}

/// Which way brings the base to the nodes faster, by trying both on a few pieces of it.
///
/// One node reads some pieces alone, then all nodes read others at the same time, which are then sent.
/// What nodes have in their page caches counts as it will for the rest.
struct BaseSpeed {
  private static let pieceBytes = 2 << 20
  private static let pieceCount = 8

  /// Seconds of all nodes that read at once, of one that reads alone, of sending; 0 where nothing was
  /// tried.
  let together, alone, sending: Double
  /// What was found, for the log.
  var reason: String {
    together == 0
      ? ""
      : String(
        format: " (%d MiB took all at once %.3f s, one alone and sending %.3f s)",
        Self.pieceCount * Self.pieceBytes >> 20, together, alone + sending)
  }
  /// Whether one node should read and send.
  var isBroadcastFaster: Bool { together > alone + sending }

  /// Called by all ranks.
  ///
  /// - Parameter files: on the lowest rank of each node, the base's.
  init(_ files: [MappedFile], _ groups: NodeGroups, _ communicator: Communicator) throws {
    let own = files.reduce(0) { $0 + $1.byteCount }
    let total = Int(try communicator.broadcast(Int64(own), from: 0))
    guard total >= BaseFiles.fewestBytes else {
      (together, alone, sending) = (0, 0, 0)
      return
    }
    let isReading = communicator.localRank == 0 && own == total
    let bytes = try communicator.together {
      try SharedBytes(byteCount: Self.pieceCount * Self.pieceBytes)
    }
    /// Seconds until the last rank has read its pieces: every other one of twice as many, spread over
    /// the files.
    func seconds(from first: Int, _ reads: Bool) throws -> Double {
      try communicator.barrier()
      let start = ContinuousClock.now
      if reads {
        for piece in 0..<Self.pieceCount {
          let spread = Double(2 * piece + first) / Double(2 * Self.pieceCount)
          Self.copy(
            files, from: Int(spread * Double(total)), into: bytes, at: piece * Self.pieceBytes)
        }
      }
      return try communicator.allReduce((ContinuousClock.now - start) / .seconds(1), .maximum)
    }
    alone = try seconds(from: 0, isReading && communicator.rank == 0)
    together = try seconds(from: 1, isReading)
    try communicator.barrier()
    let start = ContinuousClock.now
    try communicator.send(bytes.view(0..<bytes.byteCount), in: groups)
    sending = try communicator.allReduce((ContinuousClock.now - start) / .seconds(1), .maximum)
  }

  /// A piece of files that follow each other.
  private static func copy(
    _ files: [MappedFile], from first: Int, into bytes: SharedBytes, at place: Int
  ) {
    var (start, done) = (0, 0)
    for file in files {
      let low = max(first + done - start, 0)
      let count = min(file.byteCount - low, pieceBytes - done)
      if low < file.byteCount, count > 0, first + done >= start {
        file.prefetch(low..<(low + count))
        file.copy(low..<(low + count), into: bytes, at: place + done)
        done += count
      }
      start += file.byteCount
    }
  }
}
