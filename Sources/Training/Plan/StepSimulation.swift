import Datasets
import Foundation
import Tensors

/// How long the passes of a step take on many ranks, where micro-batches do not take quite as long as
/// their arithmetic says.
///
/// ```swift
/// var simulation = StepSimulation(ranks: 64, ranksPerNode: 4, spread: 0.03)
/// let seconds = simulation.slowest(costs)
/// ```
///
/// Micro-batches are dealt and taken as in a run: costliest first, to whoever has least, and on a node by
/// whoever is free. The time of each is its cost times a random factor of mean 1, log-normal, as
/// measured times are: most a little below their mean, a few well above it. A step ends with its slowest
/// rank.
package struct StepSimulation {
  let ranks, ranksPerNode: Int
  private let deviation: Double
  private var dealt: LeastLoaded<Double>
  private let random = CounterRandom(seed: 1, purpose: "spread")
  private var draw: UInt64 = 0

  /// - Parameter spread: standard deviation of a micro-batch's factor.
  package init(ranks: Int, ranksPerNode: Int, spread: Double) {
    (self.ranks, self.ranksPerNode) = (ranks, min(ranksPerNode, ranks))
    // Of the normal distribution whose exponential has mean 1 and this deviation.
    deviation = log(1 + spread * spread).squareRoot()
    dealt = LeastLoaded(count: ranks)
  }

  /// Seconds of the slowest rank.
  ///
  /// - Parameter costs: seconds that each micro-batch takes on average.
  package mutating func slowest(_ costs: [Double]) -> Double {
    let sorted = costs.sorted(by: >)
    var ofNode = [[Double]](repeating: [], count: (ranks + ranksPerNode - 1) / ranksPerNode)
    dealt.begin { $0 < sorted.count ? sorted[$0] : 0 }
    for (place, cost) in sorted.enumerated() {
      let rank = place < ranks ? place : dealt.take(cost).worker
      ofNode[rank / ranksPerNode].append(cost * factor())
    }
    var most = 0.0
    for (node, times) in ofNode.enumerated() {
      var local = LeastLoaded<Double>(count: min(ranksPerNode, ranks - node * ranksPerNode))
      for time in times { local.take(time) }
      most = max(most, local.most)
    }
    return most
  }

  private mutating func factor() -> Double {
    defer { draw += 1 }
    return exp(deviation * random.normal(draw) - deviation * deviation / 2)
  }
}
