import Foundation
import Kernels
import Synchronization
import Tensors
import TestSupport
import Testing

@Suite("Compute") struct ComputeTests {
  @Test("Every block runs exactly once", arguments: [1, 2, 3, 4])
  func everyBlockOnce(threads: Int) {
    let compute = Compute(threads: threads)
    for count in [0, 1, 2, 3, 17, 1000] {
      let buffer = IndexBuffer(count: max(count, 1))
      let runs = buffer.all
      for _ in 0..<50 {
        compute.forEachBlock(count) { block, worker in
          precondition(worker >= 0 && worker < threads)
          runs[block] += 1
        }
      }
      #expect((0..<count).allSatisfy { runs[$0] == 50 })
    }
  }

  @Test("Jobs that follow each other closely do not mix", arguments: [2, 4])
  func jobsDoNotMix(threads: Int) {
    let compute = Compute(threads: threads)
    let buffer = IndexBuffer(count: 8)
    let results = buffer.all
    for job in 0..<20_000 {
      let count = 1 + job % 8
      compute.forEachBlock(count) { block, _ in results[block] = job }
      #expect((0..<count).allSatisfy { results[$0] == job })
    }
  }

  @Test("Each thread begins with its own share of the blocks", arguments: [2, 3, 4])
  func ownShare(threads: Int) {
    let compute = Compute(threads: threads)
    let buffer = IndexBuffer(count: threads)
    let first = buffer.all
    for count in [threads, 2 * threads + 1, 5 * threads] {
      for worker in 0..<threads { first[worker] = -1 }
      let started = Atomic(0)
      compute.forEachBlock(count) { block, worker in
        guard first[worker] < 0 else { return }
        first[worker] = block
        started.add(1, ordering: .releasing)
        // Until all have begun, nobody can take what is another's.
        while started.load(ordering: .acquiring) < threads { sched_yield() }
      }
      var start = 0
      for worker in 0..<threads {
        #expect(first[worker] == start)
        start += count / threads + (worker < count % threads ? 1 : 0)
      }
    }
  }

  @Test("A job inside a block runs on the same worker")
  func nested() {
    let compute = Compute(threads: 3)
    let buffer = IndexBuffer(count: 6)
    let sums = buffer.all
    compute.forEachBlock(6) { block, worker in
      compute.forEachBlock(5) { inner, innerWorker in
        precondition(innerWorker == worker)
        sums[block] += inner
      }
    }
    #expect((0..<6).allSatisfy { sums[$0] == 10 })
  }

  @Test("Workers' scratch memories do not overlap")
  func scratch() {
    let compute = Compute(threads: 3)
    for worker in 0..<3 { compute.scratch(worker: worker).fill(Float(worker)) }
    for worker in 0..<3 {
      #expect(compute.scratch(worker: worker).elements.allSatisfy { $0 == Float(worker) })
    }
  }

  @Test("An instruction set that the processor has is taken, and another is an error")
  func instructionSets() throws {
    for set in InstructionSet.allCases {
      guard InstructionSet.available.contains(set) else {
        let error = #expect(throws: UnavailableInstructionSet.self) {
          try Compute(threads: 1, instructionSet: set)
        }
        #expect(error?.description.contains("has no \(set.rawValue) instructions") == true)
        continue
      }
      #expect(try Compute(threads: 1, instructionSet: set).instructionSet == set)
    }
    #expect(Compute(threads: 1).instructionSet == .best)
    #expect(InstructionSet.available.last == .scalar)
  }

  @Test("bf16 is emulated by every set but the best")
  func bfloat16() throws {
    for set in InstructionSet.available where set != .best {
      #expect(try Compute(threads: 1, instructionSet: set).bfloat16Definition == "emulation")
    }
    #expect(Compute(threads: 1).hasNativeBFloat16 == Compute.hasNativeBFloat16)
  }
}

#if os(Linux)
  @Suite("Threads and processors") struct ThreadBindingTests {
    /// The processors of a process or thread, as the kernel lists them.
    private func allowed(_ who: String = "self") -> [Int] {
      let status = (try? String(contentsOfFile: "/proc/\(who)/status", encoding: .utf8)) ?? ""
      let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list") } ?? ""
      return line.split { ":\t ,".contains($0) }.dropFirst().flatMap { part in
        let ends = part.split(separator: "-").compactMap { Int($0) }
        return ends.isEmpty ? [] : Array(ends[0]...ends[ends.count - 1])
      }
    }

    @Test("Each thread runs where it was bound")
    func binding() throws {
      let processors = allowed()
      let last = try #require(processors.last)
      let compute = Compute(threads: 3)
      // The calling thread is the test's, and keeps all that it had.
      #expect(compute.bindThreads(to: [processors, [last], [processors[0]]]))
      let seen = FloatBuffer(count: 3)
      let places = seen.all
      places.fill(-1)
      for _ in 0..<50 where places[0, 1] < 0 || places[0, 2] < 0 {
        compute.forEachBlock(30) { _, worker in
          let own = self.allowed("thread-self")
          places[0, worker] = own.count == 1 ? Float(own[0]) : -2
        }
      }
      #expect(places[0, 1] == Float(last))
      #expect(places[0, 2] == Float(processors[0]))
    }

    @Test("A processor that is not there is refused")
    func refusal() {
      let compute = Compute(threads: 2)
      #expect(!compute.bindThreads(to: [allowed(), [1 << 16]]))
    }
  }
#endif
