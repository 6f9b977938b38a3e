import DataParallel
import Files
import Model
import Tensors

/// Stored tensors that some nodes have in files and others receive one by one, as they come to be read.
///
/// Until then there is no memory for them on the nodes that receive, and they read as zeros.
public struct ArrivingTensors {
  private let places: [String: StoredPlace]
  private let files: [MappedFile]
  /// Where each file begins in ``bytes``.
  private let starts: [Int]
  /// What this node receives into; nil where it reads.
  private let bytes: SharedBytes?
  private let groups: NodeGroups
  private let communicator: Communicator

  init(
    _ places: [StoredPlace], files: [MappedFile], starts: [Int], bytes: SharedBytes?,
    _ groups: NodeGroups, _ communicator: Communicator
  ) {
    self.places = Dictionary(places.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    (self.files, self.starts, self.bytes) = (files, starts, bytes)
    (self.groups, self.communicator) = (groups, communicator)
  }

  /// Their names.
  var names: Set<String> { Set(places.keys) }

  /// Brings one to all nodes; called by all ranks, of the same names in the same order.
  ///
  /// - Throws: on all ranks, where a node has no room.
  func receive(_ name: String) throws {
    guard let place = places[name] else { return }
    try communicator.together {
      guard let bytes, communicator.localRank == 0 else { return }
      let start = starts[place.file]
      try bytes.reserve((place.range.lowerBound + start)..<(place.range.upperBound + start))
    }
    let file = files[place.file]
    try communicator.send(file.view, [place.range], in: groups) { file.prefetch($0) }
    // The decoder has the file in a mapping of its own.
    file.release(place.range)
  }
}

extension ArrivingTensors {
  /// Lets nobody write what was received any more.
  func seal() { bytes?.seal() }
}

/// The files that nodes send, as text: what all nodes must know of them.
struct FileList {
  /// Paths and sizes.
  private(set) var files: [(path: String, byteCount: Int)] = []
  /// What is sent when it is asked for.
  private(set) var later: [StoredPlace] = []

  init(files: [(path: String, byteCount: Int)], later: [StoredPlace]) {
    (self.files, self.later) = (files, later)
  }

  /// Reads what ``text`` wrote.
  init(text: String) {
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ", maxSplits: 3)
      // `Int` takes a plus for a sign.
      if parts.count >= 2, !line.hasPrefix("+"), let count = Int(parts[0]) {
        // A path may have spaces.
        let path = line.split(separator: " ", maxSplits: 1)[1]
        files.append((String(path), count))
      } else if parts.count == 4, parts[0].hasPrefix("+"), let file = Int(parts[0].dropFirst()),
        let first = Int(parts[1]), let end = Int(parts[2]), first <= end
      {
        later.append(StoredPlace(name: String(parts[3]), file: file, range: first..<end))
      }
    }
  }

  /// A line each: `BYTES PATH`, and `+FILE FIRST END NAME`.
  var text: String {
    (files.map { "\($0.byteCount) \($0.path)" }
      + later.map { "+\($0.file) \($0.range.lowerBound) \($0.range.upperBound) \($0.name)" })
      .joined(separator: "\n")
  }

  /// What of a file is sent at once, ascending.
  func rangesAtOnce(of file: Int) -> [Range<Int>] {
    var (ranges, start): ([Range<Int>], Int) = ([], 0)
    let rest = later.filter { $0.file == file }.map(\.range)
    for range in rest.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if start < range.lowerBound { ranges.append(start..<range.lowerBound) }
      start = max(start, range.upperBound)
    }
    if start < files[file].byteCount { ranges.append(start..<files[file].byteCount) }
    return ranges
  }
}
