import Tensors

/// What a reduction did.
public struct ReductionSummary: Sendable, Hashable {
  /// Bytes that this rank handed to MPI; 0 in a world of one.
  public let bytesReduced: Int
  /// The arena index of the first tensor that had an infinite or undefined gradient on any rank.
  ///
  /// All ranks are told the same one. No gradient was then written.
  public let nonFiniteTensor: Int?
  /// Whether any rank left micro-batches out, because it was asked to stop: all ranks are told alike,
  /// and no gradient was written.
  public var isCutShort = false
}

/// Sums the gradients of all micro-batches of a step over all ranks, exactly and without an order.
///
/// ```swift
/// for microBatch in mine {
///   arena.clearGradients()
///   backward(microBatch)
///   reducer.accumulate(arena)
/// }
/// let summary = try reducer.finish(into: arena, scale: 1 / Double(countedTokens))
/// ```
///
/// The result is the same to the last bit whatever the number of ranks and whichever rank computed
/// which micro-batch in which order. Floating-point sums cannot promise that, since their order is
/// part of their result. So every gradient is rounded **once** onto a grid that all micro-batches of
/// the step share, and added as an integer.
///
/// **The grid.** For each tensor let `2^E ≤ max |g| < 2^(E+1)` over all its elements in all
/// micro-batches of all ranks, `J = max(−10, ⌊(E + 1)/12⌋)`. The grid's unit is
/// `u = 2^(12(J−3))`, and the result is
///
///     r = Σ over micro-batches v of round(g_v / u)         (nearest, ties to even)
///     gradient = float(double(r) · (u · scale))
///
/// which names neither ranks nor order. `J` is a maximum and `r` a sum of integers, both of which
/// MPI computes exactly in any order.
///
/// **Without knowing J beforehand.** The grid depends on gradients that are still to come, so each
/// one is cut into slices: `q_k = round(rest / 2^(12k))` for k = J', J'−1, J'−2, J'−3, where J' is the
/// tensor's `J` so far, `rest` starts as `g` and loses `q_k · 2^(12k)` at each step. By the choice
/// of J', `|g| < 2^(12J'+11)`, so for every k > J' the quotient is under ½ and `q_k` is 0: the slices
/// at k ≤ J' are the same numbers from wherever slicing starts. When J' rises by d, the sums of
/// slices move d places down and the d lowest are dropped, which leaves what there would be had the
/// higher J' been known from the start. Last, `Σ q_k · 2^(12k)` over k ≥ J−3 is `u · round(g/u)`:
/// slicing leaves a rest of at most u/2, and at a tie the last slice is even, hence the whole is.
/// In single precision all of it is exact: scaling by powers of two (a scaled value that underflows
/// is under 2⁻¹²⁶ where the lowest slice counts 2⁻³⁶), the rounding by adding 1.5·2²³, and the rest,
/// whose bits are among those of `g`. Where J is held at −10 the unit is 2⁻¹⁵⁶, finer than the
/// smallest denormal, so nothing is rounded at all.
///
/// **Error.** `max |g| ≥ 2^(12J−1)`, so each micro-batch's rounding is at most `u/2 ≤ 2⁻³⁶ max |g|`,
/// of either sign; a float sum of the same terms loses up to 2⁻²⁴ of its partial sums each time.
///
/// **Room.** Slices are at most 2¹¹ in magnitude, so an `Int32` holds the sum of 2¹⁹. Together four
/// make at most 2⁴⁷·(1 + 2⁻¹¹), so an `Int64` holds 2¹⁵ micro-batches over all ranks, which is
/// ``maximumMicroBatches`` and checked.
///
/// **Memory.** A rank that has one micro-batch a step keeps nothing: its gradients wait in the arena
/// until the grid is known, and each rounds to its integer `r` at once. One that has up to four keeps
/// copies of all but the last, 4 bytes per parameter each; one that has more keeps sums of slices, 16
/// bytes per parameter. The results are the same to the last bit. Whole numbers are made, sent and
/// turned back in pieces of ``pieceCount``. All is allocated once; a step allocates nothing.
///
/// Tensors whose gradient every rank derives for itself (`ParameterRole.derived`) are passed over. It
/// neither clips nor divides by the number of ranks: gradients are sums over tokens, and `scale` is
/// one over their number in the global batch.
@safe
public final class GradientReducer {
  /// Micro-batches that a step may have, over all ranks together.
  public static let maximumMicroBatches = 1 << 15
  /// Integers that are handed to MPI at a time, 4 MiB.
  ///
  /// Enough that a message's start does not count, few enough that they stay in the processor's
  /// cache between rounding, sending and turning back.
  public static let pieceCount = 1 << 19

  private struct Tensor {
    let index: Int  // among the arena's tensors
    let arenaOffset: Int  // of its first element in the arena
    let offset: Int  // of its first element among the reduced ones
    let count: Int

    var range: Range<Int> { offset..<(offset + count) }
  }

  /// What is kept of a step's micro-batches until the grid is known.
  private enum Store {
    case gradients(KeptGradients)
    case slices(SliceSums)
  }

  // What travels behind the exponents.
  package static let extraCount = 2
  private static let smallestExponent: Int32 = -10
  // A tensor to which nothing but zeros was added: its slices are zero.
  private static let empty: Int32 = smallestExponent - 1
  // Above every exponent that a finite float can have (10), so that a maximum over ranks finds it.
  private static let nonFinite: Int32 = 1 << 20

  private let communicator: Communicator
  private let tensors: [Tensor]
  private let arenaFloatCount: Int
  private let store: Store
  private let sums: ReductionBuffer  // of a piece
  // J' of each tensor; more elements for the number of micro-batches, and for whether any is missing.
  private let exponents: UnsafeMutablePointer<Int32>
  private let agreed: UnsafeMutablePointer<Int32>
  /// Micro-batches that this rank has added since the last `reset`.
  public private(set) var microBatchCount = 0
  /// Whether a gradient of the micro-batch that was added last is not a finite number.
  public private(set) var isLastNonFinite = false

  /// Bytes that a rank hands to MPI in a step that reduces all of `arena` at once, where there are
  /// other ranks: an integer for each gradient, an exponent for each tensor, a count,
  /// and whether a rank was asked to stop.
  public static func byteCount(reducing arena: ParameterArena) -> Int {
    let reduced = arena.slots.filter(\.role.isReduced)
    return reduced.reduce(0) { $0 + $1.count } * MemoryLayout<Int64>.stride
      + (reduced.count + extraCount) * MemoryLayout<Int32>.stride
  }

  /// Allocates what the tensors of `arena` need, for every step to come.
  ///
  /// - Parameters:
  ///   - arena: whose gradients are summed.
  ///   - communicator: the ranks that sum.
  ///   - microBatches: the most that this rank adds in a step, where that is known.
  public init(
    arena: ParameterArena, communicator: Communicator,
    microBatches: Int = GradientReducer.maximumMicroBatches
  ) {
    precondition(microBatches > 0, "\(microBatches) micro-batches a step")
    self.communicator = communicator
    arenaFloatCount = arena.floatCount
    var count = 0
    tensors = arena.slots.filter(\.role.isReduced).map { slot in
      defer { count += slot.count }
      return Tensor(index: slot.index, arenaOffset: slot.offset, offset: count, count: slot.count)
    }
    store =
      microBatches > KeptGradients.mostMicroBatches
      ? .slices(SliceSums(count: count))
      : .gradients(KeptGradients(microBatches: microBatches, floatCount: arena.floatCount))
    sums = ReductionBuffer(count: min(count, Self.pieceCount))
    let places = tensors.count + Self.extraCount
    unsafe exponents = .allocate(capacity: places)
    unsafe exponents.initialize(repeating: Self.empty, count: places)
    unsafe agreed = .allocate(capacity: places)
    unsafe agreed.initialize(repeating: 0, count: places)
  }

  deinit {
    unsafe exponents.deallocate()
    unsafe agreed.deallocate()
  }

  /// Bytes held.
  public var byteCount: Int {
    let kept =
      switch store {
      case .gradients(let gradients): gradients.byteCount
      case .slices(let slices): slices.byteCount
      }
    return kept + sums.count * MemoryLayout<Int64>.stride
      + 2 * (tensors.count + Self.extraCount) * MemoryLayout<Int32>.stride
  }

  /// Bytes that one holds which is made for an arena and so many micro-batches a step.
  public static func byteCount(of arena: ParameterArena, microBatches: Int) -> Int {
    let reduced = arena.slots.filter(\.role.isReduced)
    let count = reduced.reduce(0) { $0 + $1.count }
    let kept =
      microBatches > KeptGradients.mostMicroBatches
      ? SliceSums.byteCount(count: count)
      : KeptGradients.byteCount(microBatches: microBatches, floatCount: arena.floatCount)
    return kept + min(count, pieceCount) * MemoryLayout<Int64>.stride
      + 2 * (reduced.count + extraCount) * MemoryLayout<Int32>.stride
  }

  /// Adds the arena's gradients, all of those of one micro-batch.
  ///
  /// The caller clears them before the next one, and leaves them alone after the last one until
  /// they are finished.
  public func accumulate(_ arena: ParameterArena) {
    precondition(arena.floatCount == arenaFloatCount, "a reducer made for another arena")
    microBatchCount += 1
    isLastNonFinite = false
    // Sums with too many terms are not made; `finish` tells why.
    if microBatchCount > Self.maximumMicroBatches { return }
    if case .gradients(let kept) = store {
      kept.keep(arena.allGradients, number: microBatchCount)
    }
    for index in tensors.indices {
      let tensor = tensors[index]
      let gradients = unsafe arena.allGradients.base + tensor.arenaOffset
      let pattern = unsafe ReductionKernels.largestMagnitude(gradients, count: tensor.count)
      if pattern == 0 { continue }
      let current = unsafe exponents[index]
      let own = Self.exponent(pattern)
      let exponent = max(own, current)
      unsafe exponents[index] = exponent
      if own == Self.nonFinite { isLastNonFinite = true }
      guard case .slices(let slices) = store, exponent != Self.nonFinite else { continue }
      let rise = current == Self.empty ? 0 : Int(exponent - current)
      unsafe slices.add(gradients, to: tensor.range, exponent: exponent, rise: rise)
    }
  }

  /// Sums over all ranks and writes every reduced tensor's gradient, times `scale`, into the arena.
  ///
  /// All ranks call it, also those that had no micro-batch. Afterwards the reducer is empty, for
  /// the next step.
  ///
  /// - Parameters:
  ///   - arena: whose gradients are summed.
  ///   - scale: one over the number of counted tokens in the global batch.
  ///   - microBatches: those of all ranks together, where that is known; all ranks say the same.
  ///   - isCutShort: whether this rank left micro-batches out; one is enough for no rank to get
  ///     gradients.
  /// - Throws: where MPI fails, and on all ranks where the step has too many micro-batches.
  public func finish(
    into arena: ParameterArena, scale: Double, microBatches: Int? = nil, isCutShort: Bool = false
  ) throws(MPIError) -> ReductionSummary {
    precondition(arena.floatCount == arenaFloatCount, "a reducer made for another arena")
    defer { reset() }
    let bytesBefore = communicator.reducedBytes
    let nonFinite = try agreeOnExponents(microBatches: microBatches, isCutShort: isCutShort)
    if unsafe agreed[tensors.count + 1] != 0 {
      return ReductionSummary(
        bytesReduced: communicator.reducedBytes - bytesBefore, nonFiniteTensor: nil,
        isCutShort: true)
    }
    if let nonFinite {
      return ReductionSummary(
        bytesReduced: communicator.reducedBytes - bytesBefore,
        nonFiniteTensor: tensors[nonFinite].index)
    }
    let end = tensors.last?.range.upperBound ?? 0
    for start in stride(from: 0, to: end, by: Self.pieceCount) {
      let piece = start..<min(start + Self.pieceCount, end)
      forEachPart(of: piece) { takeSums($0, $1, at: $2, arena) }
      try communicator.sum(sums, 0..<piece.count)
      forEachPart(of: piece) { convert($0, $1, at: $2, arena, scale) }
    }
    for index in tensors.indices { unsafe exponents[index] = Self.empty }
    return ReductionSummary(
      bytesReduced: communicator.reducedBytes - bytesBefore, nonFiniteTensor: nil)
  }

  /// Puts this rank's integers of a part of a tensor into `sums`.
  private func takeSums(_ index: Int, _ part: Range<Int>, at place: Int, _ arena: ParameterArena) {
    let target = unsafe sums.base + place
    // Also where this rank had no micro-batch, whatever its arena holds.
    if unsafe exponents[index] == Self.empty {
      return unsafe target.update(repeating: 0, count: part.count)
    }
    switch store {
    case .gradients(let kept):
      unsafe kept.sum(
        arenaRange(index, part), microBatches: microBatchCount, last: arena.allGradients,
        exponent: agreed[index], into: target)
    case .slices(let slices):
      unsafe slices.take(part, rise: Int(agreed[index] - exponents[index]), into: target)
    }
  }

  /// Writes a part of a tensor's gradient from `sums`.
  private func convert(
    _ index: Int, _ part: Range<Int>, at place: Int, _ arena: ParameterArena, _ scale: Double
  ) {
    let unit = unsafe Self.unit(agreed[index])
    unsafe ReductionKernels.convert(
      sums.base + place, count: part.count, factor: unit * scale,
      into: arena.allGradients.base + arenaRange(index, part).lowerBound)
  }

  /// Calls `body` for each tensor's part of a piece, with the part's place in the piece.
  private func forEachPart(
    of piece: Range<Int>,
    _ body: (_ index: Int, _ part: Range<Int>, _ place: Int) -> Void
  ) {
    for index in tensors.indices {
      let part = tensors[index].range.clamped(to: piece)
      if !part.isEmpty { body(index, part, part.lowerBound - piece.lowerBound) }
    }
  }

  /// Where a part of a tensor lies in the arena.
  private func arenaRange(_ index: Int, _ part: Range<Int>) -> Range<Int> {
    let shift = tensors[index].arenaOffset - tensors[index].offset
    return (part.lowerBound + shift)..<(part.upperBound + shift)
  }

  /// Forgets everything that was added since the last `finish`.
  public func reset() {
    microBatchCount = 0
    isLastNonFinite = false
    for index in tensors.indices where unsafe exponents[index] != Self.empty {
      unsafe exponents[index] = Self.empty
      if case .slices(let slices) = store { slices.clear(tensors[index].range) }
    }
  }

  /// Fills `agreed` with the tensors' exponents over all ranks.
  ///
  /// - Returns: the first tensor whose gradient is not finite on some rank.
  private func agreeOnExponents(
    microBatches: Int?, isCutShort: Bool
  ) throws(MPIError) -> Int? {
    // The count travels behind the exponents, and so does whether all are there.
    unsafe agreed.update(from: exponents, count: tensors.count)
    unsafe agreed[tensors.count] = Int32(clamping: microBatchCount)
    unsafe agreed[tensors.count + 1] = isCutShort ? 1 : 0
    try unsafe communicator.allReduce(
      nil, into: agreed, count: tensors.count + Self.extraCount, .maximum)
    let perRank = unsafe Int(agreed[tensors.count])
    // Where nobody knows their number, the largest count times the ranks: of an even deal it is never
    // far above the true one.
    let (worldSize, limit) = (communicator.worldSize, Self.maximumMicroBatches)
    if microBatches ?? (perRank * worldSize) > limit {
      throw .tooManyMicroBatches(perRank: perRank, worldSize: worldSize, limit: limit)
    }
    return tensors.indices.first { unsafe agreed[$0] == Self.nonFinite }
  }

  /// The grid's unit, between 2⁻¹⁶⁸ (where all is zero) and 2⁸⁴.
  static func unit(_ exponent: Int32) -> Double {
    Double(sign: .plus, exponent: 12 * (Int(exponent) - 3), significand: 1)
  }

  /// What turns a gradient into units of the first slice, between 2⁻¹²⁰ and 2¹²⁰.
  static func scale(_ exponent: Int32) -> Float {
    Float(sign: .plus, exponent: -12 * Int(exponent), significand: 1)
  }

  /// The least J with every magnitude of `pattern` or less under 2^(12J+11); ``nonFinite`` for an
  /// infinity or NaN.
  private static func exponent(_ pattern: Int32) -> Int32 {
    if pattern >= 0x7f80_0000 { return nonFinite }
    // The exponent field of a denormal reads as -127, which is below every J but the least anyway.
    let exponent = (pattern >> 23) - 127
    // Rounded down: the shift makes the dividend positive.
    return max((exponent + 1 + 240) / 12 - 20, smallestExponent)
  }
}
