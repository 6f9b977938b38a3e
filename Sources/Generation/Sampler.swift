import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Chooses the next token from its logits.
///
/// Temperature 0 takes the most likely token, the lower id where two are equally likely. Otherwise
/// logits are divided by the temperature, the smallest set of tokens whose probability reaches
/// `topP` is kept (Holtzman et al. 2020, arXiv:1904.09751; the token that crosses the bound belongs
/// to it), and one of them is drawn. Draw number k depends on the seed and k alone.
public struct Sampler: Sendable {
  /// 0 for the most likely token.
  public let temperature: Double
  /// Share of probability to draw from, in 0...1.
  public let topP: Double
  private let random: CounterRandom

  /// A sampler.
  public init(temperature: Double = 0, topP: Double = 1, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topP = topP
    random = CounterRandom(seed: seed, purpose: "generation")
  }

  /// Chooses token number `draw` of the answer from `logits`, [1, vocabulary].
  public func choose(from logits: MatrixView, draw: Int) -> Int {
    let scores = logits.elements
    guard
      let best = scores.indices.max(by: {
        scores[$0] < scores[$1] || (scores[$0] == scores[$1] && $0 > $1)
      })
    else { return 0 }
    guard temperature > 0 else { return best }
    let top = Double(scores[best])
    let weights = scores.map { exp((Double($0) - top) / temperature) }
    let total = weights.reduce(0, +)
    let order = weights.indices.sorted {
      weights[$0] > weights[$1] || (weights[$0] == weights[$1] && $0 < $1)
    }
    var kept = 0
    var mass = 0.0
    while kept < order.count && (kept == 0 || mass < topP * total) {
      mass += weights[order[kept]]
      kept += 1
    }
    var target = random.uniform(UInt64(draw)) * mass
    for index in order.prefix(kept) {
      target -= weights[index]
      if target < 0 { return index }
    }
    return order[kept - 1]
  }
}
