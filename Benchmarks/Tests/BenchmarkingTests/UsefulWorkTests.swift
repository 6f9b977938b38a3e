import Benchmarking
import Testing

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

  /// Written out for the tiny job's shape: H 64, F 160, 4 heads of 16 over 2, V 512, 3 blocks.
  @Test("It is what adding up every product of a small model gives")
  func byHand() {
    let (job, lengths) = (Job.tiny, [20, 37])
    let rows = 57.0
    let counted = Double(lengths.reduce(0) { $0 + job.countedTokens(of: $1) })
    #expect(counted == 29)
    let block = Double(64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 160)
    let pairs = Double(20 * 21 / 2 + 37 * 38 / 2)
    let head = 2 * counted * 64 * 512
    let attention = 3 * 64 * pairs * 2
    let r = 4.0
    let features = Double(128 + 96 + 96 + 128 + 3 * 224)
    // Forward, dA and dB; then the gradients of every input, but in the first block not those of
    // its query, key and value projections.
    let adapters = 3 * (3 * rows * r * features) - rows * r * Double(3 * 64)
    let frozen = 2 * 3 * rows * block - rows * Double(64 * 64 + 2 * 64 * 32)
    // Attention: two products forward and four backward of 64 features for each pair.
    let multiplyAdds = frozen + head + adapters + 3 * attention
    let work = UsefulWork(job, lengths: lengths, method: "lora", adapterRank: 4).total
    #expect(abs(work - 2 * multiplyAdds) < 1, "\(work), by hand \(2 * multiplyAdds)")
  }

  @Test("What trains more or lower needs more")
  func methods() {
    let lengths = Job.a.lengths(step: 1)
    func work(_ method: String) -> Double {
      UsefulWork(Job.a, lengths: lengths, method: method).total
    }
    #expect(work("ia3") < work("lora"))
    #expect(work("lora") < work("full"))
    #expect(work("llama-adapter") < work("ia3"))
    #expect(work("prompt-tuning") > work("ia3"))
  }
}
