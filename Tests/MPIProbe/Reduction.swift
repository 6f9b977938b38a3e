import DataParallel
import Diagnostics
import Hashing
import Tensors

/// Gradients and scalars of the same micro-batches, dealt to however many ranks there are.
enum Reduction {
  static let microBatchCount = 11

  /// Prints the hash of the reduced gradients of three steps, each dealt in another way.
  static func check(_ communicator: Communicator) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    var plan = ParameterArenaPlan()
    _ = plan.declare("a", shape: [33, 7])
    _ = plan.declare("derived", shape: [5], role: .derived)
    _ = plan.declare("b", shape: [129], role: .computed)
    _ = plan.declare("zero", shape: [4])
    let arena = ParameterArena(plan)
    let reducer = GradientReducer(arena: arena, communicator: communicator)
    for step in 0..<3 {
      let mine = microBatches(of: rank, among: size, step: step)
      for microBatch in mine {
        fill(arena, step: step, microBatch: microBatch)
        reducer.accumulate(arena)
      }
      // Different on each rank, and not to be touched.
      arena.gradients(arena.slots[1]).fill(Float(rank))
      let summary = try reducer.finish(into: arena, scale: 1 / 777)
      try expect(summary.nonFiniteTensor, nil, "a finite step")
      // Eight bytes an element, four an exponent, four the count, four whether a rank cut it short.
      let bytes = 8 * (33 * 7 + 129 + 4) + 4 * 3 + 4 + 4
      try expect(summary.bytesReduced, size == 1 ? 0 : bytes, "bytes handed over")
      try expect(arena.gradients(arena.slots[1])[0, 0], Float(rank), "a derived gradient")
      arena.gradients(arena.slots[1]).fill(0)
      let hash = XXH64.hash(arena.allGradients)
      try communicator.agree(
        on: [SharedFact("hash", "\(hash)")], of: "the gradients", remedy: "", errorClass: .failure)
      if rank == 0 { print("step \(step) \(String(hash, radix: 16))") }

      // Again, kept as suits each rank's number of micro-batches, with room for one more on some.
      let other = GradientReducer(
        arena: arena, communicator: communicator, microBatches: max(mine.count, 1) + rank % 2)
      for microBatch in mine {
        fill(arena, step: step, microBatch: microBatch)
        other.accumulate(arena)
      }
      _ = try other.finish(into: arena, scale: 1 / 777)
      arena.clearDerivedGradients()
      try expect(XXH64.hash(arena.allGradients), hash, "the gradients kept otherwise")
    }
    try checkNonFinite(communicator, arena, reducer)
  }

  /// Step 0 deals by turns, step 1 gives rank 0 all but one each, step 2 all to the last rank.
  private static func microBatches(of rank: Int, among size: Int, step: Int) -> [Int] {
    (0..<microBatchCount).filter { microBatch in
      let owner =
        switch step {
        case 0: microBatch % size
        case 1: microBatch < size ? microBatch : 0
        default: size - 1
        }
      return owner == rank
    }
  }

  private static func checkNonFinite(
    _ communicator: Communicator, _ arena: ParameterArena, _ reducer: GradientReducer
  ) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    fill(arena, step: 9, microBatch: rank)
    if rank == size - 1 { arena.gradients(arena.slots[2])[0, 50] = .nan }
    reducer.accumulate(arena)
    var summary = try reducer.finish(into: arena, scale: 1)
    try expect(summary.nonFiniteTensor, 2, "a NaN on the last rank")
    // The next step knows nothing of it.
    fill(arena, step: 9, microBatch: 0)
    if rank == 0 { reducer.accumulate(arena) }
    summary = try reducer.finish(into: arena, scale: 1)
    try expect(summary.nonFiniteTensor, nil, "the step after a NaN")
    if rank == 0 { print("after NaN \(String(XXH64.hash(arena.allGradients), radix: 16))") }
  }

  /// Gradients whose size differs a lot between micro-batches, so that the grid rises on the way.
  private static func fill(_ arena: ParameterArena, step: Int, microBatch: Int) {
    arena.clearGradients()
    let random = CounterRandom(seed: 5, stream: UInt64(100 * step + microBatch))
    for slot in [arena.slots[0], arena.slots[2]] {
      let view = arena.gradients(slot).reshaped(rows: 1, columns: slot.count)
      let exponent = (microBatch * 7 + step * 3 + slot.index) % 23 - 11
      for column in 0..<slot.count {
        let bits = random.bits(UInt64(slot.offset + column))
        let fraction = Float(Int32(truncatingIfNeeded: bits)) * 0x1p-31
        view[0, column] = fraction * Float(sign: .plus, exponent: 3 * exponent, significand: 1)
      }
    }
  }

  /// Prints the totals of eleven micro-batches, dealt by turns.
  static func checkTotals(_ communicator: Communicator) throws {
    let totals = StepTotals()
    for step in 0..<2 {
      totals.reset()
      for microBatch in 0..<microBatchCount
      where microBatch % communicator.worldSize == communicator.rank {
        // No two of them have the same binary fraction.
        totals.loss.add(1000.0 / Double(3 * microBatch + 7 + step))
        totals.countedTokens += Int64(microBatch)
        totals.correctTokens += 1
        totals.tokens += Int64(2 * microBatch)
        totals.sequences += 3
        totals.stopRequests += microBatch == 5 ? 1 : 0
      }
      try totals.reduce(over: communicator)
      try expect(totals.statesAgree, true, "equal hashes")
      if communicator.rank == communicator.worldSize - 1 {
        print(
          """
          \(totals.loss.value.bitPattern) \(totals.countedTokens) \(totals.correctTokens) \
          \(totals.tokens) \(totals.sequences) \(totals.stopRequests)
          """)
      }
    }
    try checkHashes(communicator)
  }

  /// One flipped bit on one rank shows on all of them, whichever it is.
  private static func checkHashes(_ communicator: Communicator) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    guard size > 1 else { return }
    let totals = StepTotals()
    for bit in 0..<64 {
      totals.reset()
      totals.stateHash = 0xfedc_ba98_7654_3210
      if rank == bit % size { totals.stateHash ^= 1 << UInt64(bit) }
      try totals.reduce(over: communicator)
      try expect(totals.statesAgree, false, "bit \(bit) of a hash")
    }
    // Differences whose sum vanishes.
    totals.reset()
    totals.stateHash = 100
    if rank == 0 { totals.stateHash += 1 }
    if rank == 1 { totals.stateHash -= 1 }
    try totals.reduce(over: communicator)
    try expect(totals.statesAgree, false, "hashes with the mean of equal ones")
    for hash in [0, UInt64.max] {
      totals.reset()
      totals.stateHash = hash
      try totals.reduce(over: communicator)
      try expect(totals.statesAgree, true, "the hash \(hash) on all ranks")
    }
  }
}
