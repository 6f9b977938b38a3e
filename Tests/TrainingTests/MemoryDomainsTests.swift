import Foundation
import TestSupport
import Testing
import Training

@Suite("NUMA domains") struct MemoryDomainsTests {
  /// What Linux shows of a machine with these lists of processors, by domain.
  private func domains(_ lists: [Int: String]) throws -> MemoryDomains {
    let directory = try TemporaryDirectory()
    for (number, list) in lists {
      let path = directory.path("node\(number)")
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try Data("\(list)\n".utf8).write(to: URL(fileURLWithPath: path + "/cpulist"))
    }
    try Data("0-1\n".utf8).write(to: URL(fileURLWithPath: directory.path("online")))
    return MemoryDomains(directory: directory.path)
  }

  @Test("A rank belongs to the domain that has most of its processors")
  func membership() throws {
    // Two sockets with hyperthreads, and a card's memory without processors.
    let machine = try domains([0: "0-7,16-23", 1: "8-15,24-31", 2: ""])
    #expect(machine.processors.count == 2)
    #expect(machine.domain(of: [0, 1, 16, 17]) == 0)
    #expect(machine.domain(of: [12, 13, 28]) == 1)
    #expect(machine.domain(of: [6, 7, 8, 9, 10]) == 1)
    // Even parts, and processors of nowhere: the first.
    #expect(machine.domain(of: [7, 8]) == 0)
    #expect(machine.domain(of: [99]) == 0)
  }

  @Test("Where the system does not tell, all memory is one domain")
  func unknown() {
    let machine = MemoryDomains(directory: "/nowhere")
    #expect(machine.processors.isEmpty && machine.domain(of: [0, 1]) == 0)
  }
}
