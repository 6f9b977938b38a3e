import DataParallel
import Diagnostics
import Foundation
import JSON
import Kernels

/// The profile of all ranks as Chrome's Trace Event Format, which Perfetto reads too.
///
/// A rank is a process, a thread of its pool a thread; times are microseconds since the ranks were
/// ready to train.
struct ProfileTrace {
  /// Events of all ranks together at most, so that a browser can open the file.
  private static let largestEventCount = 2_000_000
  /// Numbers that an event takes on its way.
  private static let wordsPerEvent = 3

  private let nodes: [String]
  /// Events by rank, as ``words(_:_:)`` packs them; only on rank 0.
  private let events: [[Int64]]
  /// Events that found no room, on all ranks.
  let droppedEvents: Int

  /// Brings the events of all ranks to rank 0; called by all of them.
  init(_ profile: RunProfile, over communicator: Communicator) throws(MPIError) {
    let profiler = profile.profiler
    let limit = max(4096, ProfileTrace.largestEventCount / communicator.worldSize)
    let count = min(profiler.eventCount, limit)
    var words: [Int64] = []
    words.reserveCapacity(count * ProfileTrace.wordsPerEvent)
    for number in 0..<count {
      let event = profiler.event(number)
      words.append(event.start - profile.origin)
      words.append(event.duration)
      words.append(ProfileTrace.packed(event))
    }
    let dropped = profiler.droppedEvents + profiler.eventCount - count
    droppedEvents = Int(try communicator.allReduce(Int64(dropped), .sum))
    nodes = try communicator.allGather(communicator.processorName)
    events = try communicator.gather(words, to: 0)
  }

  private static func packed(_ event: StepProfiler.Event) -> Int64 {
    Int64(event.block + 1) << 32 | Int64(event.thread) << 16
      | Int64(RunProfile.index(event.part, event.direction))
  }

  /// The file's text.
  func json() -> String {
    var lines: [String] = []
    for (rank, words) in events.enumerated() {
      lines.append(
        ProfileTrace.metadata(
          "process_name", rank: rank, thread: 0, "rank \(rank) on \(nodes[rank])"))
      var threads: Set<Int> = []
      for start in stride(from: 0, to: words.count, by: ProfileTrace.wordsPerEvent) {
        let packed = words[start + 2]
        let thread = Int(packed >> 16 & 0xffff)
        if threads.insert(thread).inserted {
          lines.append(
            ProfileTrace.metadata(
              "thread_name", rank: rank, thread: thread,
              thread == 0 ? "main thread" : "worker \(thread)"))
        }
        lines.append(
          ProfileTrace.event(
            start: words[start], duration: words[start + 1], packed: packed, rank: rank,
            thread: thread))
      }
    }
    return """
      {"displayTimeUnit": "ms", "traceEvents": [
      \(lines.joined(separator: ",\n"))
      ]}

      """
  }

  private static func event(
    start: Int64, duration: Int64, packed: Int64, rank: Int, thread: Int
  ) -> String {
    let kinds = StepDirection.allCases.count
    let part = StepPart(rawValue: Int(packed & 0xffff) / kinds) ?? .step
    let direction = StepDirection(rawValue: Int(packed & 0xffff) % kinds) ?? .none
    let block = Int(packed >> 32) - 1
    var name = direction.name.isEmpty ? part.name : "\(part.name) \(direction.name)"
    var arguments = block >= 0 ? ", \"args\": {\"block\": \(block)}" : ""
    if thread == 0 {
      if part == .step { (name, arguments) = ("step \(block)", "") }
      if part == .block { name = "block \(block) \(direction.name)" }
    }
    return "{\"name\": \"\(name)\", \"cat\": \"\(part.name)\", \"ph\": \"X\", "
      + "\"ts\": \(microseconds(start)), \"dur\": \(microseconds(duration)), "
      + "\"pid\": \(rank), \"tid\": \(thread)\(arguments)}"
  }

  private static func metadata(
    _ kind: String, rank: Int, thread: Int, _ name: String
  ) -> String {
    "{\"name\": \"\(kind)\", \"ph\": \"M\", \"pid\": \(rank), \"tid\": \(thread), "
      + "\"args\": {\"name\": \(JSONValue.string(name).text())}}"
  }

  /// Nanoseconds as microseconds with three digits behind the point.
  private static func microseconds(_ nanoseconds: Int64) -> String {
    let magnitude = nanoseconds.magnitude
    let rest = String(magnitude % 1000)
    let zeros = String(repeating: "0", count: 3 - rest.count)
    return "\(nanoseconds < 0 ? "-" : "")\(magnitude / 1000).\(zeros)\(rest)"
  }
}
