import Testing
import Training

@Suite("Models of a step on many ranks") struct ScalingModelTests {
  /// Seconds of a step's reductions, simulated by `scripts/scaling/simulate.sh` with SimGrid 3.32:
  /// 460800 numbers in 240 tensors.
  static let simulated: [(ranks: Int, perNode: Int, network: String, seconds: Double)] = [
    (16, 1, "10GbE", 0.007002), (16, 1, "IB", 0.000387), (16, 4, "10GbE", 0.006501),
    (64, 1, "10GbE", 0.007534), (64, 1, "IB", 0.000417), (64, 4, "10GbE", 0.008077),
    (256, 1, "10GbE", 0.008023), (256, 1, "IB", 0.000446), (256, 4, "10GbE", 0.008795),
    (1024, 1, "10GbE", 0.008311), (1024, 1, "IB", 0.000463),
  ]

  @Test("The allreduce takes what SimGrid simulates", arguments: simulated.indices)
  func simulation(index: Int) throws {
    let (ranks, perNode, name, seconds) = Self.simulated[index]
    // SimGrid counts no arithmetic here.
    let model = AllreduceModel(
      ranks: ranks, ranksPerNode: perNode, network: try #require(NetworkModel.named(name)),
      sumSecondsPerByte: 0)
    let modelled = model.step(gradients: 460_800, tensors: 240)
    #expect(abs(modelled / seconds - 1) < 0.12, "\(modelled) s, \(seconds) s simulated")
  }

  @Test("Messages go by the algorithms that Open MPI chooses for them")
  func algorithms() {
    func chosen(_ bytes: Int, _ ranks: Int) -> AllreduceModel.Algorithm {
      AllreduceModel.algorithm(bytes: bytes, count: bytes / 8, ranks: ranks)
    }
    // As `coll_tuned_allreduce_algorithm` 0 does in 4.1.
    #expect(chosen(4 << 20, 2) == .rabenseifner)
    #expect(chosen(20_000, 3) == .ring)
    #expect(chosen(128, 8) == .recursiveDoubling)
    #expect(chosen(4 << 20, 1024) == .rabenseifner)
    #expect(chosen(1_000, 1024) == .reduceAndBroadcast)
    #expect(chosen(8_000, 1024) == .recursiveDoubling)
    // Too short to be cut by ranks.
    #expect(chosen(64, 48) == .recursiveDoubling)
    #expect(chosen(8_192, 4096) == .recursiveDoubling)
  }

  @Test("No rank waits for itself, and more ranks wait longer")
  func growth() throws {
    let network = try #require(NetworkModel.named("100GbE"))
    func seconds(_ ranks: Int) -> Double {
      AllreduceModel(ranks: ranks, ranksPerNode: 4, network: network).step(
        gradients: 1_000_000, tensors: 100)
    }
    #expect(seconds(1) == 0)
    #expect(seconds(2) < seconds(4) && seconds(4) < seconds(64) && seconds(64) < seconds(4096))
    // What travels is twice the gradients at most, however many ranks there are.
    #expect(seconds(4096) < 2 * seconds(64))
  }

  @Test("Even work on ranks that are equally fast takes each its share")
  func even() {
    var simulation = StepSimulation(ranks: 8, ranksPerNode: 4, spread: 0)
    #expect(abs(simulation.slowest(Array(repeating: 0.5, count: 32)) - 2) < 1e-12)
    // Three for one of them.
    #expect(abs(simulation.slowest(Array(repeating: 0.5, count: 17)) - 1.5) < 1e-12)
    // Ranks without work.
    #expect(simulation.slowest([0.25, 0.75]) == 0.75)
  }

  @Test("The slowest of many takes what the largest of as many draws is")
  func spread() {
    // The expected maximum of n normal draws, in standard deviations (order statistics).
    for (ranks, expected) in [(16, 1.766), (1024, 3.247)] {
      var simulation = StepSimulation(ranks: ranks, ranksPerNode: 1, spread: 0.02)
      let costs = Array(repeating: 1.0, count: ranks)
      let mean = (0..<200).reduce(0.0) { sum, _ in sum + simulation.slowest(costs) } / 200
      #expect(abs((mean - 1) / 0.02 - expected) < 0.12, "\(ranks) ranks: \(mean)")
    }
    // Whoever is free takes what is left: a node is late by less than a rank alone would be.
    var alone = StepSimulation(ranks: 16, ranksPerNode: 1, spread: 0.1)
    var together = StepSimulation(ranks: 16, ranksPerNode: 16, spread: 0.1)
    let costs = Array(repeating: 0.125, count: 128)
    let times = (0..<50).map { _ in (alone.slowest(costs), together.slowest(costs)) }
    #expect(times.reduce(0) { $0 + $1.1 } < times.reduce(0) { $0 + $1.0 })
  }
}
