import Kernels
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

  @Test("An instruction set is taken when the processor has it")
  func instructionSets() {
    #expect(Compute(threads: 1, instructionSet: "scalar").instructionSet == "scalar")
    let best = Compute(threads: 1).instructionSet
    #expect(Compute(threads: 1, instructionSet: "none").instructionSet == best)
  }
}
