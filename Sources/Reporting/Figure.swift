import Foundation

/// Numbers as people read them.
package enum Figure {
  /// A whole number with its thousands apart: `1 234 567`.
  ///
  /// - Parameter number: of either sign.
  /// - Parameter separator: between groups; a narrow space that does not break is right for pages.
  package static func grouped(_ number: Int, separator: String = " ") -> String {
    let digits = Array(String(number.magnitude))
    var text = number < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text += separator }
      text.append(digit)
    }
    return text
  }

  /// Bytes in B, KiB, MiB or GiB, with three figures.
  package static func bytes(_ count: Int) -> String {
    var value = Double(count)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1024 || unit == "GiB" {
        return unit == "B" ? "\(count) B" : "\(significant(value, digits: 3)) \(unit)"
      }
      value /= 1024
    }
    return "\(count) B"
  }

  /// A number with so many significant digits, never with an exponent above 0.0001.
  package static func significant(_ value: Double, digits: Int) -> String {
    guard value.isFinite else { return "–" }
    if value == 0 { return "0" }
    let magnitude = Int(floor(log10(abs(value)) + 1e-12))
    if magnitude < -4 { return String(format: "%.\(max(digits - 1, 0))g", value) }
    return String(format: "%.\(max(0, digits - 1 - magnitude))f", value)
  }

  /// A count in a few characters, as axes have it: `950`, `12k`, `1.5M`.
  package static func short(_ value: Double) -> String {
    for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] where abs(value) >= size {
      return trimmed(value / size) + unit
    }
    return trimmed(value)
  }

  /// Up to three significant digits, without zeros at the end.
  static func trimmed(_ value: Double) -> String { String(format: "%.3g", value) }
}

extension Figure {
  /// A length of time as readers want it: `12.3 s`, `4 min 5 s`, `1 h 20 min`.
  package static func duration(seconds: Double) -> String {
    if seconds < 60 { return significant(seconds, digits: 3) + " s" }
    let minutes = Int(seconds / 60)
    return minutes < 60
      ? "\(minutes) min \(Int(seconds) % 60) s" : "\(minutes / 60) h \(minutes % 60) min"
  }

  /// A rate as people write it: `3e-4`, `0.05`, `1e-3`.
  package static func compactExponent(_ value: Double) -> String {
    guard value != 0, value.isFinite, abs(value) < 0.01 else { return trimmed(value) }
    let exponent = Int(floor(log10(abs(value)) + 1e-12))
    return trimmed(value / pow(10, Double(exponent))) + "e\(exponent)"
  }
}
