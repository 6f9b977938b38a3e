import Foundation
import TestSupport
import Testing
import Training

/// A machine as `/sys/devices/system/cpu` shows it.
private struct Machine {
  let directory: TemporaryDirectory
  var topology: ProcessorTopology { ProcessorTopology(directory: directory.path("cpu")) }

  /// `cores` cores of two hyperthreads, numbered as usual: 0, 1, 2 … and then their siblings.
  init(cores: Int, packages: Int = 1) throws {
    directory = try TemporaryDirectory()
    for processor in 0..<(2 * cores) {
      let core = processor % cores
      let folder = directory.path("cpu/cpu\(processor)/topology")
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true)
      // Cores alternate between packages, as some firmware numbers them.
      try Data("\(core % packages)\n".utf8).write(
        to: URL(fileURLWithPath: folder + "/physical_package_id"))
      try Data("\(core),\(core + cores)\n".utf8).write(
        to: URL(fileURLWithPath: folder + "/thread_siblings_list"))
    }
  }
}

@Suite("Cores of a node and its ranks") struct CoreShareTests {
  @Test("Lists of processors are read and written as the kernel writes them")
  func lists() {
    #expect(ProcessorList.processors("0-3,8\n") == [0, 1, 2, 3, 8])
    #expect(ProcessorList.text([8, 0, 2, 1, 3]) == "0-3,8")
    #expect(ProcessorList.processors("") == [])
  }

  @Test("Ranks with one mask take disjoint parts of it, a thread for each physical core")
  func sharedMask() throws {
    let machine = try Machine(cores: 4)
    let all = Set(0..<8)
    let shares = CoreShare.shares(masks: [all, all], topology: machine.topology)
    #expect(shares.map(\.cores) == [[[0, 4], [1, 5]], [[2, 6], [3, 7]]])
    #expect(shares.map(\.threads) == [2, 2])
    #expect(shares[1].places(threads: 2) == [[2, 6], [3, 7]])
    // Fewer threads than cores, or more: anywhere among the rank's own.
    #expect(shares[1].places(threads: 1) == [[2, 3, 6, 7]])
    #expect(shares[1].places(threads: 3) == Array(repeating: [2, 3, 6, 7], count: 3))
  }

  @Test("A rank's cores lie in one package where they can")
  func packages() throws {
    let machine = try Machine(cores: 4, packages: 2)
    let all = Set(0..<8)
    let shares = CoreShare.shares(masks: [all, all], topology: machine.topology)
    #expect(shares.map(\.cores) == [[[0, 4], [2, 6]], [[1, 5], [3, 7]]])
  }

  @Test("Ranks that were given cores of their own keep them")
  func boundByLauncher() throws {
    let machine = try Machine(cores: 4)
    let shares = CoreShare.shares(masks: [[3, 7], [0, 1, 4, 5]], topology: machine.topology)
    #expect(shares.map(\.cores) == [[[3, 7]], [[0, 4], [1, 5]]])
    #expect(shares.map(\.threads) == [1, 2])
    #expect(shares.map(\.isExclusive) == [true, true])
  }

  @Test("Two pairs of ranks with a mask each part their own")
  func pairs() throws {
    let machine = try Machine(cores: 4)
    let (left, right) = (Set([0, 1, 4, 5]), Set([2, 3, 6, 7]))
    let shares = CoreShare.shares(masks: [left, left, right, right], topology: machine.topology)
    #expect(shares.map(\.cores) == [[[0, 4]], [[1, 5]], [[2, 6]], [[3, 7]]])
  }

  @Test("More ranks than cores take hyperthreads, and more than those are bound to nothing")
  func crowded() throws {
    let machine = try Machine(cores: 2)
    let all = Set(0..<4)
    let four = CoreShare.shares(masks: Array(repeating: all, count: 4), topology: machine.topology)
    #expect(four.map(\.cores) == [[[0]], [[2]], [[1]], [[3]]])
    let five = CoreShare.shares(masks: Array(repeating: all, count: 5), topology: machine.topology)
    #expect(five.allSatisfy { !$0.isExclusive && $0.threads == 1 && $0.places(threads: 1) == nil })
  }

  @Test("Masks that overlap are left alone")
  func overlapping() throws {
    let machine = try Machine(cores: 4)
    let shares = CoreShare.shares(masks: [[0, 1, 2], [2, 3]], topology: machine.topology)
    #expect(shares.map(\.threads) == [2, 2])
    #expect(shares.allSatisfy { $0.places(threads: 2) == nil })
  }

  @Test("Threads that take turns have a part of the time")
  func turns() throws {
    let machine = try Machine(cores: 2)
    let all = Set(0..<4)
    let share = ProcessorShare(masks: [all, all], localRank: 0, topology: machine.topology)
    #expect(share.processorTime(threads: 2) == 1)
    #expect(share.processorTime(threads: 4) == 0.5)
  }

  @Test("A container's quota limits the threads, and binds none")
  func quota() throws {
    let machine = try Machine(cores: 32)
    let all = Set(0..<64)
    let share = ProcessorShare(
      masks: [all, all], localRank: 0, topology: machine.topology, quota: 6.5)
    #expect(share.threads == 3)
    #expect(try share.compute(threads: 1, binds: true).isBound == false)
    #expect(share.warning(threads: nil) == nil)
    #expect(share.warning(threads: 4)?.contains("6.5 processors") == true)
  }

  @Test("Warnings name what is wrong with masks and threads, and how to mend it")
  func warnings() throws {
    let machine = try Machine(cores: 4)
    func warning(_ masks: [Set<Int>], rank: Int = 0, threads: Int? = nil, job: Int = 8) -> String? {
      ProcessorShare(
        masks: masks, localRank: rank, topology: machine.topology, jobProcessors: job
      ).warning(threads: threads)
    }
    let all = Set(0..<8)
    #expect(warning([all, all]) == nil)
    #expect(warning([all, all], threads: 4) == nil)
    #expect(warning([all, all], threads: 5)?.contains("2 ranks of 5 threads share 4") == true)
    #expect(warning([[0], [0], [0], [0]])?.contains("--bind-to none") == true)
    #expect(warning([[0], [0], [1, 5], [2, 6]])?.contains("same core while others") == true)
    #expect(warning([[0, 4], [1, 5]])?.contains("4 of the 8 processors") == true)
    #expect(warning([[0, 4], [1, 5]], threads: 1) == nil, "it was asked for")
    #expect(warning([[0, 4], [1, 5]], threads: 4)?.contains("--map-by slot:PE=N") == true)
    #expect(warning([[0, 4], [1, 5]], job: 0) == nil, "no launcher bound it")
    #expect(warning([[0, 4]], threads: 8, job: 2)?.contains("Lower --threads") == true)
  }
}
