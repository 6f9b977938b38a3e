import DataParallel
import Foundation
import Tensors

/// How many cores this rank may compute on, next to the other ranks of its node.
public struct ProcessorShare: Sendable {
  /// Cores that the ranks of this node may use, all of them together.
  public let nodeCores: Int
  /// Ranks on this node.
  public let localSize: Int
  /// Threads for this rank when nobody says how many.
  public let threads: Int

  /// Looks at what the ranks of each node are allowed, called by all ranks.
  ///
  /// A launcher may give each rank cores of its own or all ranks the same ones: the union of what
  /// the local ranks are allowed, divided by their number, is right for both.
  public init(communicator: Communicator) throws(MPIError) {
    let own = ProcessorShare.allowedCores()
    let node = communicator.processorName
    let list = own.sorted().map(String.init).joined(separator: ",")
    var union = own
    for text in try communicator.allGather("\(node)\n\(list)") {
      let parts = text.split(separator: "\n", maxSplits: 1)
      guard parts.count == 2, parts[0] == node else { continue }
      union.formUnion(parts[1].split(separator: ",").compactMap { Int($0) })
    }
    nodeCores = max(union.count, 1)
    localSize = communicator.localSize
    threads = max(1, min(nodeCores / localSize, max(own.count, 1)))
  }

  /// What is wrong with `threads` threads a rank on this node, as a sentence; nil when nothing is.
  public func warning(threads: Int) -> String? {
    if localSize > 1 && nodeCores == 1 {
      return "all \(localSize) ranks of this node are bound to one core: they will take turns. "
        + "Start them with mpirun --bind-to none, or srun with --cpus-per-task."
    }
    if localSize * threads > nodeCores {
      return
        "\(localSize) ranks of \(threads) threads share \(nodeCores) cores of this node. Lower "
        + "--threads or the number of ranks."
    }
    return nil
  }

  /// The cores that this process may run on, as the kernel lists them.
  static func allowedCores() -> Set<Int> {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("Cpus_allowed_list:") {
      return cores(list: line.dropFirst("Cpus_allowed_list:".count))
    }
    return Set(0..<ProcessInfo.processInfo.activeProcessorCount)
  }

  /// Reads a list such as `0-3,8`.
  static func cores(list: some StringProtocol) -> Set<Int> {
    var cores: Set<Int> = []
    for part in list.split(separator: ",") {
      let ends = part.split(separator: "-").compactMap {
        Int($0.trimmingCharacters(in: .whitespaces))
      }
      guard let first = ends.first, let last = ends.last, first <= last else { continue }
      cores.formUnion(first...last)
    }
    return cores
  }
}

/// The most memory that this process has had, in bytes, as the kernel counts it.
func peakMemoryBytes() -> Int {
  let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  for line in status.split(separator: "\n") where line.hasPrefix("VmHWM:") {
    let digits = line.filter(\.isNumber)
    return (Int(digits) ?? 0) * 1024
  }
  return 0
}

/// Lets the peak that ``peakMemoryBytes()`` tells start again at what is held now.
///
/// - Returns: whether the kernel did it; Linux does where `/proc` is writable.
func resetPeakMemory() -> Bool {
  FreedMemory.giveBack()
  let before = peakMemoryBytes()
  guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return false }
  // 5: "reset the peak resident set size" (proc(5), clear_refs).
  guard (try? file.write(contentsOf: Data("5".utf8))) != nil else { return false }
  return peakMemoryBytes() <= before
}
