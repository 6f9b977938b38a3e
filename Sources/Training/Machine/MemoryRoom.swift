import DataParallel
import Diagnostics
import Foundation
import Model
import Reporting

/// How much memory the processes of this node can have at most: what the machine has, what their control
/// groups allow (a job step's, a container's), and what `ulimit` allows each.
///
/// ```swift
/// let room = try MemoryRoom(communicator)
/// if let shortage = room.shortage(of: [MemoryPart("activations", bytes)]) { throw shortage }
/// ```
///
/// It finds what cannot be. What is just possible may fail all the same where others use the machine.
package struct MemoryRoom: Sendable {
  /// Whose limit it is.
  package enum Source: Sendable, Hashable {
    /// All memory of the machine.
    case machine
    /// What no process of the machine uses now.
    case free
    /// A control group, by the file that says so.
    case group(file: String)
    /// `ulimit -v`, of which so many bytes are taken.
    case addresses(taken: Int)
    /// `ulimit -d`, likewise.
    case data(taken: Int)
  }

  /// One of the limits.
  package struct Limit: Sendable {
    /// Whose.
    package let source: Source
    /// Bytes.
    package let byteCount: Int
    /// Ranks of the node that have it together.
    package var sharers = 1
    /// What tells a control group from others, whatever each process calls it.
    var identity = ""

    /// A limit of so many bytes for so many ranks together.
    package init(_ source: Source, byteCount: Int, sharers: Int = 1) {
      (self.source, self.byteCount, self.sharers) = (source, byteCount, sharers)
    }
  }

  /// All there are.
  package private(set) var limits: [Limit]

  /// These limits, the machine's first.
  package init(limits: [Limit]) { self.limits = limits }

  /// What this process finds, as if it were alone.
  ///
  /// The files are those of Linux: `/proc/self/cgroup` names the group in the tree of version 2 or of
  /// version 1, whose ancestors count as well (cgroups(7)).
  ///
  /// - Parameters:
  ///   - root: directory in whose place tests put another.
  ///   - physical: bytes of the machine.
  package init(
    root: String = "", physical: Int = Int(clamping: ProcessInfo.processInfo.physicalMemory)
  ) {
    limits = [Limit(.machine, byteCount: physical)]
    limits[0].identity = "machine"
    let groups = (try? String(contentsOfFile: root + "/proc/self/cgroup", encoding: .utf8)) ?? ""
    for line in groups.split(separator: "\n") {
      // number:controllers:path
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      if fields[0] == "0" && fields[1].isEmpty {
        addGroups(of: root + "/sys/fs/cgroup", path: fields[2], file: "memory.max")
      } else if fields[1].split(separator: ",").contains("memory") {
        addGroups(
          of: root + "/sys/fs/cgroup/memory", path: fields[2], file: "memory.limit_in_bytes")
      }
    }
  }

  /// Adds what a group and those above it allow.
  private mutating func addGroups(of mount: String, path: Substring, file: String) {
    var parts = path.split(separator: "/")
    // Outside of the part that a container sees.
    if parts.contains("..") { parts = [] }
    for count in stride(from: parts.count, through: 0, by: -1) {
      let directory = ([mount] + parts.prefix(count).map(String.init)).joined(separator: "/")
      let name = directory + "/" + file
      guard let text = try? String(contentsOfFile: name, encoding: .utf8),
        // "max", or a number near 2^63, where there is no limit.
        let bytes = Int(text.filter { !$0.isWhitespace }), bytes < limits[0].byteCount
      else { continue }
      let attributes = try? FileManager.default.attributesOfItem(atPath: directory)
      let number = (attributes?[.systemFileNumber] as? Int) ?? 0
      let device = (attributes?[.systemNumber] as? Int) ?? 0
      var limit = Limit(.group(file: name), byteCount: bytes)
      limit.identity = "group \(device) \(number)"
      limits.append(limit)
    }
  }

  /// What the ranks of each node find together; called by all ranks.
  package init(_ communicator: Communicator) throws(MPIError) {
    self.init()
    let own = ([String(communicator.nodeLeader)] + limits.map(\.identity)).joined(separator: "\n")
    let all = try communicator.allGather(own).map { $0.split(separator: "\n").map(String.init) }
    let node = all.filter { $0.first == String(communicator.nodeLeader) }
    for index in limits.indices {
      let identity = limits[index].identity
      limits[index].sharers = max(node.count { $0.dropFirst().contains(identity) }, 1)
    }
  }

  /// Counts what is in use by others as well: for what need not be tried.
  package mutating func countFreeMemory(root: String = "") {
    let text = (try? String(contentsOfFile: root + "/proc/meminfo", encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
      guard let kibibytes = Int(line.filter(\.isNumber)) else { continue }
      limits.append(Limit(.free, byteCount: kibibytes << 10))
    }
  }

  /// Ranks that share this machine.
  package var rankCount: Int { limits[0].sharers }

  /// Lets a decoder refuse what no memory of this node holds, each time that it is prepared for passes.
  package func guardPasses(of decoder: Decoder) {
    decoder.checkRoom = { plan, held throws(ModelError) in
      let part = MemoryPart("activations", plan.byteCount, present: min(held, plan.byteCount))
      let shortage = self.shortage(of: [part]) { fits in
        let fewer = (1..<rankCount).last { fits(plan.byteCount, $0) }
        return [fewer.map { "at most \($0) ranks a node" } ?? "shorter sequences"]
      }
      if let shortage { throw .memoryShortage(shortage) }
    }
  }

  /// What does not fit; nil where it can.
  ///
  /// - Parameters:
  ///   - parts: of a rank, those that are there already among them.
  ///   - ways: what would make it fit, where it says how many bytes fit for so many ranks.
  package func shortage(
    of parts: [MemoryPart], process: ProcessMemory = .ofThisProcess,
    ways: (_ fits: (_ own: Int, _ ranks: Int) -> Bool) -> [String] = { _ in [] }
  ) -> MemoryShortage? {
    let parts = parts.filter { $0.byteCount > 0 }
    let needed = parts.reduce(0) { $0.saturating(plus: $1.byteCount) }
    let present = parts.reduce(0) { $0 + $1.present }
    // Those of a process change as it grows.
    let all = limits + process.limits
    guard let limit = all.first(where: { !$0.holds(needed, present: present, ranks: $0.sharers) })
    else { return nil }
    return MemoryShortage(
      parts: parts.map { "\(Figure.bytes($0.byteCount)) of \($0.name)" },
      needed: Figure.bytes(needed), limit: limit.sentence,
      ways: ways { own, ranks in
        all.allSatisfy {
          $0.holds(own, present: present, ranks: min(ranks, $0.sharers))
        }
      })
  }
}

extension MemoryRoom.Limit {
  /// Whether ranks can have so many bytes each.
  ///
  /// - Parameter present: of them, what this process has already.
  func holds(_ own: Int, present: Int, ranks: Int) -> Bool {
    switch source {
    case .machine, .group: own.saturating(times: ranks) <= byteCount
    case .free: own - present <= byteCount
    case .addresses(let taken), .data(let taken): own - present <= byteCount - taken
    }
  }

  /// What it is, without a full stop.
  var sentence: String {
    let bytes = Figure.bytes(byteCount)
    let ranks = sharers > 1 ? " for \(sharers) ranks together" : ""
    func ofProcess(_ option: String, _ what: String, _ taken: Int) -> String {
      "'ulimit \(option)' allows a process \(bytes) of \(what), of which \(Figure.bytes(taken)) are taken"
    }
    switch source {
    case .machine: return "this machine has \(bytes)\(ranks)"
    case .free: return "this machine has \(bytes) free now"
    case .group(let file): return "the job's or container's limit is \(bytes)\(ranks) (\(file))"
    case .addresses(let taken): return ofProcess("-v", "addresses", taken)
    case .data(let taken): return ofProcess("-d", "data", taken)
    }
  }
}

/// A part of what a rank needs.
package struct MemoryPart: Sendable {
  /// `activations`.
  package let name: String
  /// Its size.
  package let byteCount: Int
  /// Bytes of it that are allocated.
  package let present: Int

  /// Describes one.
  package init(_ name: String, _ byteCount: Int, present: Int = 0) {
    (self.name, self.byteCount, self.present) = (name, byteCount, present)
  }
}

/// What a process may have by its resource limits, and has.
package struct ProcessMemory: Sendable {
  /// Bytes that `ulimit -v` allows; nil without a limit.
  package var addresses: Int?
  /// Bytes that `ulimit -d` allows; nil without a limit.
  package var data: Int?
  /// Bytes of addresses in use.
  package var usedAddresses = 0
  /// Bytes of data in use.
  package var usedData = 0

  /// A process with these limits.
  package init(
    addresses: Int? = nil, data: Int? = nil, usedAddresses: Int = 0, usedData: Int = 0
  ) {
    (self.addresses, self.data) = (addresses, data)
    (self.usedAddresses, self.usedData) = (usedAddresses, usedData)
  }

  /// This one, now, as `/proc/self/limits` and `/proc/self/status` say (proc(5)).
  package static var ofThisProcess: ProcessMemory {
    let text = (try? String(contentsOfFile: "/proc/self/limits", encoding: .utf8)) ?? ""
    func limit(_ name: String) -> Int? {
      // Name, soft limit, hard limit, unit; "unlimited" is no number.
      text.split(separator: "\n").first { $0.hasPrefix(name) }.flatMap {
        $0.dropFirst(name.count).split(separator: " ").first.flatMap { Int($0) }
      }
    }
    return ProcessMemory(
      addresses: limit("Max address space"), data: limit("Max data size"),
      usedAddresses: memoryBytes("VmSize"), usedData: memoryBytes("VmData"))
  }

  /// Those that there are.
  var limits: [MemoryRoom.Limit] {
    [
      addresses.map { .init(.addresses(taken: usedAddresses), byteCount: $0) },
      data.map { .init(.data(taken: usedData), byteCount: $0) },
    ].compactMap(\.self)
  }
}

extension Int {
  /// The sum, or the largest number.
  func saturating(plus other: Int) -> Int {
    let (sum, overflows) = addingReportingOverflow(other)
    return overflows ? .max : sum
  }

  /// The product, or the largest number.
  func saturating(times other: Int) -> Int {
    let (product, overflows) = multipliedReportingOverflow(by: other)
    return overflows ? .max : product
  }
}
