import Diagnostics
import Kernels

/// The multiply-adds that a micro-batch's mathematics needs, by part and direction.
///
/// ```swift
/// let arithmetic = decoder.usefulArithmetic
/// let operations = 2 * arithmetic.multiplyAdds(length: 256, targetCount: 255)
/// ```
///
/// Products alone, as far as backward goes: forward of all blocks; the gradients of inputs where
/// something below them trains, and of weights and adapters that train; attention on the pairs that
/// its mask leaves; the head on scored rows. Recomputed activations and scores, paddings that kernels
/// multiply along, additions and functions of single elements count nothing; neither does what a
/// method computes once a step. A sequence without a scored token needs no arithmetic at all.
public struct DecoderArithmetic: Sendable {
  /// What a part needs for a sequence.
  struct Cost: Sendable {
    /// For each row, virtual ones included.
    var perRow = 0
    /// For each scored row.
    var perTarget = 0
    /// For each pair of a query and a key that it sees, by window (0: all keys before it).
    var perPair: [Int: Int] = [:]
  }

  private let virtualTokenCount: Int
  private var costs = Array(
    repeating: Cost(), count: StepPart.allCases.count * StepDirection.allCases.count)

  init(virtualTokenCount: Int) { self.virtualTokenCount = virtualTokenCount }

  /// What a part needs in one direction.
  subscript(part: StepPart, direction: StepDirection) -> Cost {
    get { costs[index(part, direction)] }
    set { costs[index(part, direction)] = newValue }
  }

  /// Multiply-adds of one part for one sequence.
  ///
  /// - Parameters:
  ///   - part: which part of the model.
  ///   - direction: forward, or one of the parts of backward.
  ///   - length: real tokens.
  ///   - targetCount: scored ones among them.
  public func multiplyAdds(
    _ part: StepPart, _ direction: StepDirection, length: Int, targetCount: Int
  ) -> Int {
    guard targetCount > 0 else { return 0 }
    let cost = costs[index(part, direction)]
    let rows = length + virtualTokenCount
    return cost.perRow * rows + cost.perTarget * targetCount
      + cost.perPair.reduce(0) { $0 + $1.value * pairs(rows, window: $1.key) }
  }

  /// Multiply-adds of all parts, forward and backward, for one sequence.
  public func multiplyAdds(length: Int, targetCount: Int) -> Int {
    guard targetCount > 0 else { return 0 }
    let rows = length + virtualTokenCount
    return total.perRow * rows + total.perTarget * targetCount
      + total.perPair.reduce(0) { $0 + $1.value * pairs(rows, window: $1.key) }
  }

  private var total = Cost()

  /// Adds up all parts, once they are known.
  mutating func finish() {
    total = costs.reduce(into: Cost()) { sum, cost in
      sum.perRow += cost.perRow
      sum.perTarget += cost.perTarget
      sum.perPair.merge(cost.perPair, uniquingKeysWith: +)
    }
  }

  /// Pairs of a query and a key not behind it, in a window of so many keys.
  private func pairs(_ rows: Int, window: Int) -> Int {
    if window == 0 || rows <= window { return rows * (rows + 1) / 2 }
    return window * (window + 1) / 2 + (rows - window) * window
  }

  private func index(_ part: StepPart, _ direction: StepDirection) -> Int {
    part.rawValue * StepDirection.allCases.count + direction.rawValue
  }
}

/// Multiply-adds a token of a hook's own products.
public struct HookArithmetic: Sendable, Hashable {
  /// In forward.
  public var forward: Int
  /// In backward.
  public var backward: Int
  /// Those of `LinearHook.outputTerm`'s product, which the frozen one adds.
  public var outputTerm: Int
  /// Those of `LinearHook.inputTerm`'s.
  public var inputTerm: Int

  /// So many multiply-adds a token; 0 for a hook that multiplies element by element.
  public init(forward: Int = 0, backward: Int = 0, outputTerm: Int = 0, inputTerm: Int = 0) {
    self.forward = forward
    self.backward = backward
    self.outputTerm = outputTerm
    self.inputTerm = inputTerm
  }
}

/// How far backward goes in a block or a projection.
struct BackwardExtent {
  /// Whether backward comes here at all.
  let isReached: Bool
  /// Whether the gradient of the input is needed.
  let isNeeded: Bool
}

extension Decoder {
  /// What a micro-batch of this decoder needs, with the hooks and trained parameters it has now.
  public var usefulArithmetic: DecoderArithmetic {
    findWhatTrains()
    var arithmetic = DecoderArithmetic(virtualTokenCount: virtualTokenCount)
    for (index, block) in parts.blocks.enumerated() {
      let isReached = index >= lowestTrainedBlock
      block.count(
        into: &arithmetic,
        BackwardExtent(
          isReached: isReached,
          isNeeded: isReached && (index > lowestTrainedBlock || embeddingTrains)))
    }
    head.count(
      into: &arithmetic, .head, BackwardExtent(isReached: true, isNeeded: isHiddenNeeded),
      \.perTarget)
    if let tableHook {
      arithmetic[.adapter, .forward].perRow += tableHook.arithmetic.forward
      arithmetic[.adapter, .backward].perRow += tableHook.arithmetic.backward
    }
    arithmetic.finish()
    return arithmetic
  }
}

extension LinearLayer {
  /// Adds this projection's products and its hook's terms, which it multiplies along, to those of
  /// `part`, and the hook's own to the adapter's.
  ///
  /// - Parameter rows: what the projection is made of: all rows, or the head's scored ones.
  func count(
    into arithmetic: inout DecoderArithmetic, _ part: StepPart, _ extent: BackwardExtent,
    _ rows: WritableKeyPath<DecoderArithmetic.Cost, Int> = \.perRow
  ) {
    let product = inputSize * outputSize
    let hook = hook?.arithmetic(of: self, isInputGradientNeeded: extent.isNeeded)
    arithmetic[part, .forward][keyPath: rows] += product + (hook?.outputTerm ?? 0)
    arithmetic[.adapter, .forward][keyPath: rows] += hook?.forward ?? 0
    guard extent.isReached else { return }
    // A replaced input's gradient is what its hook trains by.
    let isInputNeeded = extent.isNeeded || (self.hook?.replacesInput ?? false)
    arithmetic[part, .backward][keyPath: rows] +=
      (isInputNeeded ? product : 0) + (weight.isTrainable ? product : 0) + (hook?.inputTerm ?? 0)
    arithmetic[.adapter, .backward][keyPath: rows] += hook?.backward ?? 0
  }
}

extension SublayerSites {
  func count(_ sublayer: Sublayer, into arithmetic: inout DecoderArithmetic, _ isReached: Bool) {
    guard let hook = hook(sublayer) else { return }
    arithmetic[.adapter, .forward].perRow += hook.arithmetic.forward
    if isReached { arithmetic[.adapter, .backward].perRow += hook.arithmetic.backward }
  }
}

extension AttentionCore {
  /// Adds two products a pair forward (scores, values) and up to four backward.
  ///
  /// - Parameters:
  ///   - query: whether the gradient of the queries is needed, and so on.
  func count(into arithmetic: inout DecoderArithmetic, query: Bool, key: Bool, value: Bool) {
    let features = shape.headCount * shape.headDim
    // The probabilities' gradient comes before both the queries' and the keys'.
    let products = [query || key, query, key, value].count { $0 }
    arithmetic[.attention, .forward].perPair[shape.window, default: 0] += 2 * features
    arithmetic[.attention, .backward].perPair[shape.window, default: 0] += products * features
    guard let hook else { return }
    // Every query sees every extra row, whose keys and values train.
    let extra = features * hook.prefixLength
    arithmetic[.adapter, .forward].perRow += 2 * extra
    arithmetic[.adapter, .backward].perRow += 3 * extra + (query ? extra : 0)
  }
}
