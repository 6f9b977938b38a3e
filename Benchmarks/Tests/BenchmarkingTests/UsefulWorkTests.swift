import Testing

@testable import Benchmarking

@Suite("Useful work")
struct UsefulWorkTests {
  @Test("A token of job A needs about 0.6 GFLOP, of job B about 4.4")
  func perToken() {
    for (job, expected) in [(Job.a, 0.598e9), (Job.b, 4.37e9)] {
      let lengths = job.lengths(step: 1)
      let work = UsefulWork(job, lengths: lengths, method: "lora").total
      let perToken = work / Double(lengths.reduce(0, +))
      #expect(abs(perToken / expected - 1) < 0.02, "\(perToken)")
    }
  }
}
