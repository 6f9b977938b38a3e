import Foundation

/// One direction of a chart: from values to places, and the values worth a line.
package struct ChartAxis: Sendable {
  /// How values are spread.
  package enum Scale: Sendable, Hashable {
    /// Equal distances are equal differences.
    case linear
    /// Equal distances are equal ratios; values must be above 0.
    case logarithmic
  }

  /// What the values are, for readers.
  package let title: String
  /// How they are spread.
  package let scale: Scale
  /// The values at both ends, whole ticks where the scale is linear.
  let range: ClosedRange<Double>
  /// The values that get a line and a number.
  package let ticks: [Double]
  /// From tick to tick on a linear scale.
  private let step: Double

  /// An axis on which all of `values` have a place.
  ///
  /// - Parameters:
  ///   - title: what is measured along it, with its unit.
  ///   - values: all that are to have a place.
  ///   - scale: nil chooses: logarithmic where all values are above 0 and the largest is more than
  ///     thirty times the smallest, since a linear one would press most of them to its foot.
  ///   - includesZero: whether a linear scale starts at 0.
  package init(
    _ title: String, values: [Double], scale: Scale? = nil, includesZero: Bool = false
  ) {
    self.title = title
    let finite = values.filter(\.isFinite)
    let lowest = finite.min() ?? 0
    let highest = finite.max() ?? 1
    let spreads = lowest > 0 && highest > 30 * lowest
    self.scale = lowest > 0 ? scale ?? (spreads ? .logarithmic : .linear) : .linear
    if self.scale == .logarithmic {
      // A little air, so that no point lies on the frame.
      let air = pow(max(highest / lowest, 1.5), 0.06)
      range = (lowest / air)...(highest * air)
      ticks = Self.logarithmicTicks(range)
      step = 0
    } else {
      let bottom = includesZero ? min(0, lowest) : lowest
      // Equal values still need a way between the ends.
      let span = highest > bottom ? highest - bottom : max(abs(highest), 1) / 10
      let step = Self.step(span)
      self.step = step
      let first = (bottom / step + 1e-9).rounded(.down)
      let last = max((highest / step - 1e-9).rounded(.up), first + 1)
      range = (first * step)...(last * step)
      ticks = stride(from: first, through: last, by: 1).map { $0 * step }
    }
  }

  /// Where a value lies, 0 at the lower end and 1 at the upper.
  func position(_ value: Double) -> Double {
    if scale == .linear {
      return (value - range.lowerBound) / (range.upperBound - range.lowerBound)
    }
    return log(max(value, range.lowerBound) / range.lowerBound)
      / log(range.upperBound / range.lowerBound)
  }

  /// A tick's number, with the digits that tell it from the next one.
  func label(_ value: Double) -> String {
    if scale == .logarithmic {
      return abs(value) >= 1000 ? Figure.short(value) : Figure.trimmed(value)
    }
    let largest = max(abs(range.lowerBound), abs(range.upperBound))
    // Three digits are what the short form has.
    if largest >= 10_000 && step >= largest / 100 { return Figure.short(value) }
    if step < 1e-6 { return Figure.trimmed(value) }
    let decimals = max(0, Int(-floor(log10(step) + 1e-9)))
    return String(format: "%.\(decimals)f", abs(value) < step / 2 ? 0 : value)
  }

  /// 1, 2 or 5 times a power of ten: four to eight of them span `length`.
  static func step(_ length: Double) -> Double {
    let power = pow(10, floor(log10(length / 4)))
    let multiple = length / 4 / power
    return power * (multiple >= 5 ? 5 : multiple >= 2 ? 2 : 1)
  }

  /// Powers of ten, with 2 and 5 times them between where there are few.
  static func logarithmicTicks(_ range: ClosedRange<Double>) -> [Double] {
    let decades = log10(range.upperBound / range.lowerBound)
    let multiples: [Double] = decades > 3 ? [1] : [1, 2, 5]
    let first = Int(floor(log10(range.lowerBound)))
    let last = Int(ceil(log10(range.upperBound)))
    return (first...last).flatMap { exponent in
      multiples.map { $0 * pow(10, Double(exponent)) }
    }.filter(range.contains)
  }
}
