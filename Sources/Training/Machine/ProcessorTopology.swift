import Foundation

/// Which logical processors of this machine are one physical core, as Linux lists them in `/sys`.
///
/// ```swift
/// let cores = ProcessorTopology().cores(of: [0, 1, 64, 65])  // [[0, 64], [1, 65]]
/// ```
///
/// Where the system does not say, each processor is a core of its own.
package struct ProcessorTopology {
  private let directory: String

  /// Reads from `directory`, which tests replace.
  package init(directory: String = "/sys/devices/system/cpu") { self.directory = directory }

  /// The physical cores of some processors, each with those of its processors that are among them.
  ///
  /// Cores of one package follow each other, so that neighbours in the list share memory and caches.
  package func cores(of processors: Set<Int>) -> [[Int]] {
    var left = processors
    var cores: [(package: Int, processors: [Int])] = []
    for processor in processors.sorted() where left.contains(processor) {
      let siblings = siblings(of: processor).intersection(left).union([processor])
      left.subtract(siblings)
      cores.append((package(of: processor), siblings.sorted()))
    }
    return cores.enumerated()
      .sorted { ($0.element.package, $0.offset) < ($1.element.package, $1.offset) }
      .map(\.element.processors)
  }

  private func siblings(of processor: Int) -> Set<Int> {
    ProcessorList.processors(text(processor, "thread_siblings_list"))
  }

  private func package(of processor: Int) -> Int {
    Int(text(processor, "physical_package_id").trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
  }

  private func text(_ processor: Int, _ name: String) -> String {
    let path = "\(directory)/cpu\(processor)/topology/\(name)"
    return (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
  }
}

/// Lists such as `0-3,8`, which the kernel writes of processors.
package enum ProcessorList {
  /// The numbers of a list; what is none is passed over.
  package static func processors(_ list: some StringProtocol) -> Set<Int> {
    var numbers: Set<Int> = []
    for part in list.split(separator: ",") {
      let ends = part.split(separator: "-").compactMap {
        Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
      }
      guard let first = ends.first, let last = ends.last, first <= last else { continue }
      numbers.formUnion(first...last)
    }
    return numbers
  }

  /// The shortest list of some numbers.
  package static func text(_ processors: some Sequence<Int>) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in processors.sorted() {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }
}

/// What the system lets this process use of the machine.
enum ProcessorLimits {
  /// The processors that the launcher, the batch system and the container leave this process.
  ///
  /// Read once, before any thread is bound: binding narrows what the kernel would say later.
  static let allowedAtStart: Set<Int> = {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("Cpus_allowed_list:") {
      return ProcessorList.processors(line.dropFirst("Cpus_allowed_list:".count))
    }
    return Set(0..<ProcessInfo.processInfo.activeProcessorCount)
  }()

  /// The processors that this job could have on this node if its launcher bound nothing; 0 where
  /// nobody says.
  static func processorsOfJob(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> Int {
    func list(_ path: String) -> Int {
      ProcessorList.processors((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").count
    }
    let paths = controlGroups().flatMap { ["\($0)/cpuset.cpus.effective", "\($0)/cpuset.cpus"] }
    var count = paths.lazy.map(list).first { $0 > 0 } ?? list("/sys/devices/system/cpu/online")
    // Slurm without cgroups shares out processors by asking nicely.
    if let granted = environment["SLURM_CPUS_ON_NODE"].flatMap({ Int($0) }) {
      count = min(count, granted)
    }
    return count
  }

  /// How many processors' time the container may use; infinite where it is not limited.
  ///
  /// A container's quota does not show in the affinity mask: 4 processors' time of 64 processors.
  static func quota() -> Double {
    var quota = Double.infinity
    for group in controlGroups() {
      func numbers(_ name: String) -> [Double?] {
        let text = (try? String(contentsOfFile: "\(group)/\(name)", encoding: .utf8)) ?? ""
        return text.split { $0 == " " || $0 == "\n" }.map { Double($0) }
      }
      // cgroup v2: "max 100000", or the microseconds of a period that may be used.
      let limit = numbers("cpu.max")
      if limit.count == 2, let used = limit[0], let period = limit[1], period > 0 {
        quota = min(quota, used / period)
      }
      // cgroup v1: two files, and -1 for no limit.
      if let used = numbers("cpu.cfs_quota_us").first.flatMap(\.self), used > 0,
        let period = numbers("cpu.cfs_period_us").first.flatMap(\.self), period > 0
      {
        quota = min(quota, used / period)
      }
    }
    return quota
  }

  /// The directories of this process's control groups and of all above them, innermost first.
  private static func controlGroups() -> [String] {
    let text = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
    var directories: [String] = []
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      let root: String
      if controllers.isEmpty {
        root = "/sys/fs/cgroup"
      } else if controllers.contains("cpu") || controllers.contains("cpuset") {
        root = "/sys/fs/cgroup/\(fields[1])"
      } else {
        continue
      }
      var path = String(fields[2])
      while !path.isEmpty && path != "/" {
        directories.append(root + path)
        path = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
      }
      directories.append(root)
    }
    return directories
  }
}
