import DataParallel
import Foundation
import Kernels
import Model

/// How fast the steps are, in tokens and in useful arithmetic, against the machine's peak.
struct Throughput {
  /// What was done in some time.
  struct Tally {
    /// Tokens of all ranks.
    var tokens = 0
    /// Useful floating-point operations of all ranks: two a multiply-add that the mathematics needs.
    var operations = 0.0
    /// Seconds.
    var seconds = 0.0

    /// Tokens a second; 0 where no time went by.
    var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
    /// Useful operations a second; 0 where no time went by.
    var operationsPerSecond: Double { seconds > 0 ? operations / seconds : 0 }
  }

  /// Operations a second of all ranks where they multiply and add in registers alone.
  private(set) var peak: Double
  /// Since the last line of metrics.
  private(set) var recent = Tally()
  /// Since this start.
  private(set) var whole = Tally()

  init(peak: Double) { self.peak = peak }

  /// Learns a peak that was measured again: what a processor can do is the most it was seen to do.
  ///
  /// On shared machines clocks and neighbours change within seconds.
  mutating func raise(peak other: Double) { peak = max(peak, other) }

  /// Adds a step.
  mutating func add(_ report: StepReport, seconds: Double) {
    for tally in [\Throughput.recent, \.whole] {
      self[keyPath: tally].tokens += report.tokens
      self[keyPath: tally].operations += report.operations
      self[keyPath: tally].seconds += seconds
    }
  }

  /// What was done since the last call.
  mutating func takeRecent() -> Tally {
    defer { recent = Tally() }
    return recent
  }

  /// Which part of the peak a tally's arithmetic is.
  func share(_ tally: Tally) -> Double {
    peak > 0 ? tally.operationsPerSecond / peak : 0
  }
}

extension TrainingRun {
  /// The peak of all ranks together, measured on each at the same time; called by all ranks.
  ///
  /// Each thread multiplies and adds in its registers, in the arithmetic of the run: what the
  /// processor can do, not what products make of it. Ranks of a node share clocks as they do in a step.
  func measurePeak() throws -> Double {
    let trains = decoder.linearLayers.first?.weight.isTrainable ?? false
    try communicator.barrier()
    let own = ProductPeak.measure(trains ? .float32 : decoder.arithmetic, on: compute)
    // The best of some rounds was made while a thread had a processor; a step has no such choice.
    let time = processors.processorTime(threads: compute.threadCount)
    return try communicator.allReduce(own * time, .sum)
  }
}

/// Operations a second, in words.
func rate(_ operationsPerSecond: Double) -> String {
  operationsPerSecond < 1e12
    ? String(format: "%.1f GFLOP/s", operationsPerSecond / 1e9)
    : String(format: "%.2f TFLOP/s", operationsPerSecond / 1e12)
}
