import JSON

/// Several measurements of one thing.
///
/// ```swift
/// let sample = Sample([1.02, 0.98, 1.00])
/// print(sample.median, sample.spread)
/// ```
package struct Sample: Sendable {
  /// What was measured, in ascending order.
  package let values: [Double]

  /// Keeps the measurements; there is at least one.
  package init(_ values: [Double]) {
    precondition(!values.isEmpty, "a sample without measurements")
    self.values = values.sorted()
  }

  /// The middle one, or the mean of the two in the middle.
  package var median: Double { quantile(0.5) }

  /// Half the distance of the quartiles, as a share of the median: what `±` stands for in tables.
  package var spread: Double {
    median == 0 ? 0 : (quantile(0.75) - quantile(0.25)) / (2 * abs(median))
  }

  /// The value below which a share of the measurements lies, between two of them in proportion.
  package func quantile(_ share: Double) -> Double {
    let place = share * Double(values.count - 1)
    let below = Int(place)
    let above = min(below + 1, values.count - 1)
    return values[below] + (place - Double(below)) * (values[above] - values[below])
  }

  /// The spread for a table: nothing where there is one measurement.
  var spreadValue: JSONValue { values.count > 1 ? .double(spread) : .null }
}

/// Wall time.
enum Stopwatch {
  /// Seconds that `body` takes.
  static func seconds(_ body: () throws -> Void) rethrows -> Double {
    try ContinuousClock().measure(body) / .seconds(1)
  }

  /// Seconds of one call, as the mean of as many as last at least `leastSeconds` together.
  static func secondsPerCall(leastSeconds: Double, _ body: () -> Void) -> Double {
    var calls = 1
    while true {
      let time = seconds { for _ in 0..<calls { body() } }
      if time >= leastSeconds { return time / Double(calls) }
      let wanted = Double(calls) * 1.2 * leastSeconds / max(time, 1e-9)
      calls = max(calls + 1, min(Int(wanted), calls * 100))
    }
  }
}
