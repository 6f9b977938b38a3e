import DataParallel
import Tensors
import Testing

@Suite("GradientReducer")
struct GradientReducerTests {
  /// A micro-batch's gradients of all tensors, by tensor.
  private typealias Gradients = [[Float]]

  private func arena(_ counts: [Int]) -> ParameterArena {
    var plan = ParameterArenaPlan()
    for (index, count) in counts.enumerated() { _ = plan.declare("t\(index)", shape: [count]) }
    return ParameterArena(plan)
  }

  private func reduce(
    _ microBatches: [Gradients], scale: Double = 1, with reducer: GradientReducer,
    _ arena: ParameterArena, overwrites: Bool = true
  ) throws -> (gradients: Gradients, nonFinite: Int?) {
    for microBatch in microBatches {
      for slot in arena.slots { arena.gradients(slot).assign(microBatch[slot.index]) }
      reducer.accumulate(arena)
    }
    // Unless the reducer may still read them there.
    if overwrites { arena.allGradients.fill(99) }
    let summary = try reducer.finish(into: arena, scale: scale)
    return (arena.slots.map { arena.gradientElements($0) }, summary.nonFiniteTensor)
  }

  private func reduce(_ microBatches: [Gradients], scale: Double = 1) throws -> Gradients {
    let arena = arena(microBatches.first?.map(\.count) ?? [])
    let reducer = GradientReducer(arena: arena, communicator: Communicator(alone: ()))
    let result = try reduce(microBatches, scale: scale, with: reducer, arena)
    #expect(result.nonFinite == nil)
    return result.gradients
  }

  /// The definition in the type's documentation, literally.
  private func reference(_ microBatches: [Gradients], scale: Double) -> Gradients {
    guard let first = microBatches.first else { return [] }
    return first.indices.map { tensor in
      var largest: Float = 0
      for microBatch in microBatches {
        for value in microBatch[tensor] { largest = max(largest, value.magnitude) }
      }
      let exponent = largest == 0 ? -1000 : Double(largest).exponent
      let j = max(-10, Int((Double(exponent + 1) / 12).rounded(.down)))
      let unit = Double(sign: .plus, exponent: 12 * (j - 3), significand: 1)
      return first[tensor].indices.map { element in
        var sum: Int64 = 0
        for microBatch in microBatches {
          sum += Int64((Double(microBatch[tensor][element]) / unit).rounded(.toNearestOrEven))
        }
        return Float(Double(sum) * (unit * scale))
      }
    }
  }

  private func randomMicroBatches(
    _ count: Int, sizes: [Int], exponents: ClosedRange<Int>, seed: UInt64
  ) -> [Gradients] {
    (0..<count).map { microBatch in
      sizes.enumerated().map { tensor, size in
        (0..<size).map { element in
          let random = CounterRandom(seed: seed, stream: UInt64(1000 * microBatch + tensor))
          let bits = random.bits(UInt64(element))
          if bits % 11 == 0 { return 0 }
          let span = UInt64(exponents.upperBound - exponents.lowerBound + 1)
          let exponent = exponents.lowerBound + Int((bits >> 40) % span)
          let significand = 1 + Float(UInt32(truncatingIfNeeded: bits) >> 9) * 0x1p-23
          let sign: FloatingPointSign = bits & (1 << 33) == 0 ? .plus : .minus
          return Float(sign: sign, exponent: exponent, significand: significand)
        }
      }
    }
  }

  @Test(
    "Sums are those of the definition, over all exponents",
    arguments: [-149 ... -100, -120...120, -12...12, 60...126, -3 ... -1, 10...12])
  func definition(exponents: ClosedRange<Int>) throws {
    for seed in 1...5 {
      let microBatches = randomMicroBatches(
        9, sizes: [1, 7, 40, 129], exponents: exponents, seed: UInt64(seed))
      let expected = reference(microBatches, scale: 1.0 / 17)
      let found = try reduce(microBatches, scale: 1.0 / 17)
      #expect(found == expected, "exponents \(exponents), seed \(seed)")
    }
  }

  @Test("A reducer made for few micro-batches finds the same sums", arguments: 0...5)
  func fewMicroBatches(count: Int) throws {
    for exponents in [-149 ... -100, -120...120, -12...12, 60...126, 10...12] {
      var steps = (1...3).map { seed in
        randomMicroBatches(
          count, sizes: [1, 7, 40, 129], exponents: exponents, seed: UInt64(count * 10 + seed))
      }
      // A step with fewer than there is room for, and one without any.
      steps.append(Array(steps[0].dropLast()))
      steps.append([])
      for limit in max(count, 1)...6 {
        let arena = arena([1, 7, 40, 129])
        let reducer = GradientReducer(
          arena: arena, communicator: Communicator(alone: ()), microBatches: limit)
        for step in steps {
          let expected =
            step.isEmpty
            ? arena.slots.map { Array(repeating: 0, count: $0.count) }
            : reference(step, scale: 1.0 / 17)
          let found = try reduce(
            step, scale: 1.0 / 17, with: reducer, arena, overwrites: step.count < limit)
          #expect(found.gradients == expected, "exponents \(exponents), room for \(limit)")
        }
      }
    }
  }

  @Test("Tensors that lie in several pieces, or pieces in a tensor, are summed whole")
  func pieces() throws {
    let piece = GradientReducer.pieceCount
    let sizes = [3, piece - 5, 1, 1, 2 * piece + 7, 9]
    let microBatches = randomMicroBatches(2, sizes: sizes, exponents: -20...5, seed: 12)
    let expected = reference(microBatches, scale: 0.25)
    for limit in [2, GradientReducer.maximumMicroBatches] {
      let arena = arena(sizes)
      let reducer = GradientReducer(
        arena: arena, communicator: Communicator(alone: ()), microBatches: limit)
      let found = try reduce(microBatches, scale: 0.25, with: reducer, arena, overwrites: false)
      #expect(found.gradients == expected)
    }
  }

  @Test("What is kept is no more than the documentation says")
  func memory() {
    let arena = arena([GradientReducer.pieceCount, 16])
    let parameters = GradientReducer.pieceCount + 16
    let sums = 8 * GradientReducer.pieceCount + 2 * 4 * 4
    for (limit, bytes) in [(1, 0), (2, 4), (3, 8), (4, 12), (5, 16), (1000, 16)] {
      let reducer = GradientReducer(
        arena: arena, communicator: Communicator(alone: ()), microBatches: limit)
      #expect(reducer.byteCount == bytes * parameters + sums)
    }
  }

  @Test("The order of the micro-batches does not show, whichever has the largest gradient")
  func order() throws {
    var microBatches = randomMicroBatches(7, sizes: [50, 33], exponents: -30 ... -5, seed: 3)
    // One that raises the grid by one place, by three, and by more than all places.
    for large in [Float(0x1p4), 0x1p30, 0x1p100] {
      microBatches[0][0][4] = large
      let expected = reference(microBatches, scale: 1)
      for first in microBatches.indices {
        let turned = Array(microBatches[first...] + microBatches[..<first])
        #expect(try reduce(turned) == expected)
        #expect(try reduce(turned.reversed()) == expected)
      }
    }
  }

  @Test("Values at a half, at the edge of a place and at the ends of the range are exact")
  func edges() throws {
    let unit: Float = 0x1p-36  // of a tensor whose largest is between 2^-1 and 2^11
    let column: [Float] = [
      1, 0.5 * unit, 1.5 * unit, -0.5 * unit, -1.5 * unit, 2.5 * unit, 2047.75, -2047.75,
      .leastNonzeroMagnitude, -.leastNormalMagnitude, 0x1p-13, 0x1.8p-13, 0x1p-25 + 0x1p-37,
    ]
    #expect(try reduce([[column]]) == reference([[column]], scale: 1))
    let ends: [Float] = [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, 0x1p127, 1]
    #expect(try reduce([[ends]]) == [[ends[0], ends[1], ends[2], 0]])
    let tiny: [Float] = [.leastNonzeroMagnitude, -3 * .leastNonzeroMagnitude, 0x1p-130, 0]
    #expect(try reduce([[tiny], [tiny]], scale: 0.5) == [tiny])
  }

  @Test("The largest slices of the most micro-batches fit, and one more is refused")
  func room() throws {
    let limit = GradientReducer.maximumMicroBatches
    let value = Float(2048).nextDown
    let arena = arena([2])
    let reducer = GradientReducer(arena: arena, communicator: Communicator(alone: ()))
    arena.gradients(arena.slots[0]).assign([value, -value])
    for _ in 0..<limit { reducer.accumulate(arena) }
    _ = try reducer.finish(into: arena, scale: 1)
    // 2^15 times a float is a float.
    #expect(arena.gradientElements(arena.slots[0]) == [32768 * value, -32768 * value])

    for _ in 0...limit { reducer.accumulate(arena) }
    #expect(throws: MPIError.tooManyMicroBatches(perRank: limit + 1, worldSize: 1, limit: limit)) {
      try reducer.finish(into: arena, scale: 1)
    }
  }

  @Test("An infinite or undefined gradient is named, written nowhere, and forgotten")
  func nonFinite() throws {
    let arena = arena([5, 20, 3])
    let reducer = GradientReducer(arena: arena, communicator: Communicator(alone: ()))
    let sound = randomMicroBatches(3, sizes: [5, 20, 3], exponents: -8...8, seed: 8)
    for wrong in [Float.nan, .infinity, -.infinity, -.nan] {
      var broken = sound
      broken[1][1][17] = wrong
      broken[2][2][0] = wrong
      let result = try reduce(broken, with: reducer, arena)
      #expect(result.nonFinite == 1)
      #expect(result.gradients[0].allSatisfy { $0 == 99 })
      let next = try reduce(sound, with: reducer, arena)
      #expect(next.nonFinite == nil)
      #expect(next.gradients == reference(sound, scale: 1))
    }
  }

  @Test("Zero gradients, and a step without micro-batches, come to zero")
  func zeros() throws {
    let zeros: Gradients = [[0, -0], [0]]
    #expect(try reduce([zeros, zeros]) == [[0, 0], [0]])
    let arena = arena([3])
    let reducer = GradientReducer(arena: arena, communicator: Communicator(alone: ()))
    let result = try reduce([], with: reducer, arena)
    #expect(result.gradients == [[0, 0, 0]])
  }

  @Test("A step after another starts from nothing")
  func steps() throws {
    let arena = arena([40])
    let reducer = GradientReducer(arena: arena, communicator: Communicator(alone: ()))
    // From large to small, so that what is left over would show.
    for step in 0..<4 {
      let exponents = (40 - 20 * step)...(45 - 20 * step)
      let microBatches = randomMicroBatches(3, sizes: [40], exponents: exponents, seed: 4)
      #expect(
        try reduce(microBatches, with: reducer, arena).gradients
          == reference(microBatches, scale: 1))
    }
  }

  @Test("What is lost is at most 2⁻³⁶ of the largest gradient for each micro-batch")
  func errorBound() throws {
    let microBatches = randomMicroBatches(16, sizes: [200], exponents: -40...3, seed: 6)
    let found = try reduce(microBatches)
    for element in 0..<200 {
      var exact = 0.0  // 16 terms of 24 bits over 43 exponents: less than 2^-49 off
      for microBatch in microBatches { exact += Double(microBatch[0][element]) }
      let bound = 16 * 0x1p4 * 0x1p-36 + exact.magnitude * 0x1p-24
      #expect((Double(found[0][element]) - exact).magnitude <= bound)
    }
  }
}
