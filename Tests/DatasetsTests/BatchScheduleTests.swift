import Datasets
import Tensors
import TestSupport
import Testing

@Suite("Batch schedule")
struct BatchScheduleTests {
  private func schedule(
    _ exampleCount: Int, global: Int, micro: Int = 1, seed: UInt64 = 42, shuffles: Bool = true,
    epochs: Double = 1, maxSteps: Int? = nil
  ) -> BatchSchedule {
    BatchSchedule(
      exampleCount: exampleCount, globalBatchSize: global, microBatchSize: micro, seed: seed,
      shuffles: shuffles, epochCount: epochs, maxSteps: maxSteps)
  }

  @Test(
    "Each epoch takes every example exactly once",
    arguments: [(1, 8), (8, 8), (9, 8), (100, 7), (5, 1)])
  func everyExampleOnce(exampleCount: Int, global: Int) {
    let schedule = schedule(exampleCount, global: global, epochs: 3)
    #expect(schedule.totalSteps == 3 * schedule.stepsPerEpoch)
    for epoch in 0..<3 {
      var taken: [Int] = []
      for step in 1...schedule.stepsPerEpoch {
        let batch = schedule.batch(step: epoch * schedule.stepsPerEpoch + step)
        #expect(batch.epoch == epoch)
        #expect(batch.examples.count == global || step == schedule.stepsPerEpoch)
        taken += batch.examples
      }
      #expect(taken.sorted() == Array(0..<exampleCount))
    }
  }

  @Test("Orders differ between epochs and seeds, and without shuffling are the file's")
  func orders() {
    func epoch(_ number: Int, seed: UInt64, shuffles: Bool = true) -> [Int] {
      Array(schedule(50, global: 50, seed: seed, shuffles: shuffles).batch(step: number).examples)
    }
    #expect(epoch(1, seed: 1) == epoch(1, seed: 1))
    #expect(epoch(1, seed: 1) != epoch(2, seed: 1))
    #expect(epoch(1, seed: 1) != epoch(1, seed: 2))
    #expect(epoch(2, seed: 1, shuffles: false) == Array(0..<50))
  }

  @Test("The order is the permutation of its seed and epoch")
  func permutation() {
    let random = CounterRandom(seed: 7, purpose: "shuffle").substream(1)
    // Fisher and Yates: the last place first, each with one of those not behind it.
    var order = Array(0..<20)
    for place in (1..<20).reversed() {
      order.swapAt(place, Int(random.integer(UInt64(place), below: UInt64(place + 1))))
    }
    #expect(Array(schedule(20, global: 20, seed: 7).batch(step: 2).examples) == order)
  }

  @Test("A step's batch does not depend on which steps were asked for before")
  func randomAccess() {
    let forward = schedule(23, global: 4)
    let all = (1...30).map { Array(forward.batch(step: $0).examples) }
    let other = schedule(23, global: 4)
    for step in (1...30).reversed() {
      #expect(Array(other.batch(step: step).examples) == all[step - 1])
    }
  }

  @Test("A batch that is kept stays as it was")
  func keptBatch() {
    let schedule = schedule(10, global: 5)
    let batch = schedule.batch(step: 1)
    let examples = Array(batch.examples)
    _ = schedule.batch(step: 3)
    #expect(Array(batch.examples) == examples)
  }

  @Test("Micro-batches are consecutive pieces, the last one smaller", arguments: [1, 2, 3, 5, 9])
  func microBatches(size: Int) {
    let batch = schedule(20, global: 7, micro: size).batch(step: 2)
    var pieces: [Int] = []
    for index in 0..<batch.microBatchCount {
      let piece = batch.microBatch(index)
      #expect(piece.count == size || index == batch.microBatchCount - 1)
      #expect(!piece.isEmpty)
      pieces += piece
    }
    #expect(pieces == Array(batch.examples))
  }

  @Test(
    "The number of steps is transformers'",
    arguments: [
      (100, 8, 1.0, nil, 13), (100, 8, 3.0, nil, 39), (100, 8, 0.5, nil, 7), (8, 8, 0.01, nil, 1),
      (100, 8, 3.0, 20, 20), (100, 8, 1.0, 20, 13), (100, 8, 0.0, nil, 0),
      (100, 8, 1e300, 5, 5),
    ] as [(Int, Int, Double, Int?, Int)])
  func totalSteps(examples: Int, global: Int, epochs: Double, maxSteps: Int?, expected: Int) {
    let plan = schedule(examples, global: global, epochs: epochs, maxSteps: maxSteps)
    #expect(plan.totalSteps == expected)
  }

  @Test("Epoch and samples seen follow from the step")
  func position() {
    let schedule = schedule(10, global: 4)  // batches of 4, 4, 2
    #expect((0...6).map { schedule.samplesSeen(afterStep: $0) } == [0, 4, 8, 10, 14, 18, 20])
    #expect(schedule.epoch(afterStep: 6) == 2)
    #expect(schedule.epoch(afterStep: 1) == 1.0 / 3)
  }
}

@Suite("Dealing micro-batches")
struct MicroBatchDealerTests {
  private func uneven() throws -> TokenSplit {
    let directory = try TemporaryDirectory()
    let path = directory.path("data.h5")
    let writer = try TokenDatasetWriter(path: path, vocabularySize: 10)
    for example in 0..<40 {
      let length = 2 + example * example % 37
      try writer.append(
        tokens: Array(repeating: 1, count: length), lossMask: Array(repeating: 1, count: length),
        to: .train)
    }
    try writer.finish()
    return try TokenDataset(path: path).train
  }

  @Test("Each micro-batch goes to exactly one rank, evenly by tokens", arguments: 1...9)
  func dealt(worldSize: Int) throws {
    let split = try uneven()
    let schedule = BatchSchedule(
      exampleCount: 40, globalBatchSize: 16, microBatchSize: 1, seed: 3)
    let dealer = MicroBatchDealer(worldSize: worldSize)
    for step in 1...schedule.totalSteps {
      let batch = schedule.batch(step: step)
      let hands = (0..<worldSize).map { dealer.microBatches(of: batch, from: split, rank: $0) }
      #expect(hands.joined().sorted() == Array(0..<batch.microBatchCount))
      #expect(hands.allSatisfy { $0 == $0.sorted() })
      let costs = (0..<batch.microBatchCount).map { index in
        batch.microBatch(index).reduce(0) { $0 + split.tokenCount(of: $1) }
      }
      let most = dealer.mostMicroBatches(of: schedule.mostMicroBatches)
      #expect(hands.allSatisfy { $0.count <= most })
      let loads = hands.map { $0.reduce(0) { $0 + costs[$1] } }
      // Graham's bound for longest first, with the average and the longest below the best.
      let best = max(Double(costs.reduce(0, +)) / Double(worldSize), Double(costs.max() ?? 0))
      #expect(Double(loads.max() ?? 0) <= best * 4 / 3 + Double(costs.max() ?? 0) / 3)
    }
  }

  @Test("More ranks than micro-batches leaves some without")
  func moreRanks() throws {
    let split = try uneven()
    let schedule = BatchSchedule(
      exampleCount: 40, globalBatchSize: 2, microBatchSize: 1, seed: 3)
    let dealer = MicroBatchDealer(worldSize: 5)
    let hands = (0..<5).map {
      dealer.microBatches(of: schedule.batch(step: 1), from: split, rank: $0)
    }
    #expect(hands.count { $0.isEmpty } == 3)
    #expect(dealer.mostMicroBatches(of: schedule.mostMicroBatches) == 1)
  }

  @Test("What examples cost decides, not how many tokens they have, where that is told")
  func costs() throws {
    let split = try uneven()
    let schedule = BatchSchedule(exampleCount: 40, globalBatchSize: 40, microBatchSize: 1, seed: 3)
    let batch = schedule.batch(step: 1)
    // The longest costs as much as all others together.
    let longest = (0..<40).max { split.tokenCount(of: $0) < split.tokenCount(of: $1) } ?? 0
    let dealer = MicroBatchDealer(worldSize: 2) { example, _ in example == longest ? 39 : 1 }
    let hands = (0..<2).map { dealer.microBatches(of: batch, from: split, rank: $0) }
    #expect(hands.map(\.count).sorted() == [1, 39])
  }

  @Test(
    "Ranks of a node take what their node was dealt, each once, whoever is slow",
    arguments: [[0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 1, 2]])
  func nodes(nodeOfRank: [Int]) throws {
    let split = try uneven()
    let worldSize = nodeOfRank.count
    let schedule = BatchSchedule(exampleCount: 40, globalBatchSize: 17, microBatchSize: 1, seed: 3)
    let dealer = MicroBatchDealer(worldSize: worldSize)
    let most = dealer.mostMicroBatches(of: schedule.mostMicroBatches)
    let deals = (0..<worldSize).map { rank in
      NodeDeal(
        MicroBatchDealer(worldSize: worldSize), isOnNode: nodeOfRank.map { $0 == nodeOfRank[rank] },
        localRank: (0..<rank).count { nodeOfRank[$0] == nodeOfRank[rank] })
    }
    // One rank takes one for each that the others take; or only its first.
    for slow in 0..<worldSize {
      for step in 1...schedule.totalSteps {
        let batch = schedule.batch(step: step)
        for deal in deals { deal.begin(batch, from: split) }
        var taken = [Int](repeating: 0, count: worldSize)
        var hands = [[Int]](repeating: [], count: worldSize)
        var isBusy = true
        while isBusy {
          isBusy = false
          for rank in 0..<worldSize where rank != slow || hands[rank].isEmpty {
            let node = nodeOfRank[rank]
            let index = deals[rank].next { count in
              guard taken[node] < count else { return nil }
              taken[node] += 1
              return taken[node] - 1
            }
            if let index {
              hands[rank].append(index)
              isBusy = true
            }
          }
          if !isBusy, let index = deals[slow].next({ _ in nil }) { hands[slow].append(index) }
        }
        let isAlone = nodeOfRank.count { $0 == nodeOfRank[slow] } == 1
        if !isAlone {
          #expect(hands.joined().sorted() == Array(0..<batch.microBatchCount))
          #expect(hands[slow].count <= 1)
        }
        #expect(hands.allSatisfy { $0.count <= most })
      }
    }
  }

  @Test(
    "Cut by tokens, micro-batches are few, about equally full, and hold no more",
    arguments: [
      5, 38, 60, 200, 100_000,
    ])
  func tokens(limit: Int) throws {
    let split = try uneven()
    let longest = split.maximumTokenCount(ofExamples: 1)
    let schedule = BatchSchedule(
      split, globalBatchSize: 16, microBatchTokens: limit, seed: 3, epochCount: 2)
    let whole = BatchSchedule(
      exampleCount: 40, globalBatchSize: 16, microBatchSize: 1, seed: 3, epochCount: 2)
    #expect(schedule.totalSteps == whole.totalSteps && schedule.microBatchSize == nil)
    for step in 1...schedule.totalSteps {
      let batch = schedule.batch(step: step)
      #expect(batch.examples.sorted() == whole.batch(step: step).examples.sorted())
      let cut = (0..<batch.microBatchCount).map { Array(batch.microBatch($0)) }
      #expect(Array(cut.joined()) == Array(batch.examples))
      #expect(cut.allSatisfy { !$0.isEmpty } && cut.count <= schedule.mostMicroBatches)
      let loads = cut.map { $0.reduce(0) { $0 + split.tokenCount(of: $1) } }
      for (load, examples) in zip(loads, cut) {
        #expect(load <= limit || examples.count == 1, "\(loads)")
      }
      // Examples that are too long apart, none is fuller than another by more than an example.
      let shared = loads.filter { $0 <= limit }
      if cut.count < batch.examples.count {
        #expect((shared.max() ?? 0) - (shared.min() ?? 0) <= min(longest, limit), "\(loads)")
        let step = cut.count < 2 ? 1 : cut.count < 8 ? 2 : 4
        #expect(cut.count.isMultiple(of: step), "\(loads)")
        // Fewer would not hold them, or not so that none is much fuller than others.
        let fewer = cut.count - step - (loads.count - shared.count)
        #expect(
          fewer * limit < shared.reduce(0, +) || fewer * (limit - longest) < shared.reduce(0, +),
          "\(loads)")
      }
      // What was asked for before makes no difference.
      #expect(Array(batch.examples) == Array(schedule.batch(step: step).examples))
    }
  }

  @Test("The most examples of so many tokens are the shortest ones")
  func mostExamples() throws {
    let split = try uneven()
    let lengths = (0..<40).map { split.tokenCount(of: $0) }.sorted()
    for tokens in [1, 2, 5, 30, 700, 10_000] {
      var sum = 0
      let count = lengths.prefix { length in
        sum += length
        return sum <= tokens
      }.count
      #expect(split.mostExamples(ofTokens: tokens) == max(count, 1))
    }
  }
}
