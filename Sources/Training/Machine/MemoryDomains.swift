import Foundation

/// Which processors of this machine are near to which memory, as Linux lists them in `/sys`: its NUMA
/// domains.
///
/// Where the system does not say, all memory is equally near.
package struct MemoryDomains {
  /// The processors of each, by the kernel's number.
  package let processors: [Int: Set<Int>]

  /// Reads from `directory`, which tests replace.
  package init(directory: String = "/sys/devices/system/node") {
    var processors: [Int: Set<Int>] = [:]
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    for name in names where name.hasPrefix("node") {
      guard let number = Int(name.dropFirst(4)),
        let list = try? String(contentsOfFile: "\(directory)/\(name)/cpulist", encoding: .utf8)
      else { continue }
      let members = ProcessorList.processors(list)
      // Memory without processors, such as a card's.
      if !members.isEmpty { processors[number] = members }
    }
    self.processors = processors
  }

  /// The domain that has most of some processors; the lowest of several, 0 where nobody says.
  package func domain(of own: Set<Int>) -> Int {
    processors.keys.sorted().max {
      own.intersection(processors[$0] ?? []).count < own.intersection(processors[$1] ?? []).count
    } ?? 0
  }
}
