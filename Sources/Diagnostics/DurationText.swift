/// A length of time as people write it: `3h50m`, `90s`, `1d12h`, `1.5h`.
package enum DurationText {
  private static let units: [(name: Character, seconds: Double)] = [
    ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1),
  ]

  /// What is expected, for errors.
  package static let expectation = "a duration such as 90s, 45m, 3h50m or 1d12h"

  /// The seconds; nil where the text is no duration.
  ///
  /// Numbers have units, each once, from days to seconds; 0 alone needs none.
  package static func seconds(_ text: String) -> Double? {
    if text == "0" { return 0 }
    var (total, rest, next) = (0.0, text[...], 0)
    guard !rest.isEmpty else { return nil }
    while let end = rest.firstIndex(where: { !$0.isASCII || !($0.isNumber || $0 == ".") }) {
      guard let number = Double(rest[..<end]), number.isFinite,
        let unit = units.indices.first(where: { units[$0].name == rest[end] }), unit >= next
      else { return nil }
      total += number * units[unit].seconds
      next = unit + 1
      rest = rest[rest.index(after: end)...]
    }
    // At most what clocks count without loss.
    return rest.isEmpty && total < 1e9 ? total : nil
  }

  /// Seconds as people write them, such as `1h 5m`.
  package static func text(seconds: Double) -> String {
    var rest = Int(seconds.rounded())
    if rest == 0 { return "\((seconds * 10).rounded() / 10)s" }
    var parts: [String] = []
    for (name, size) in units where rest >= Int(size) {
      parts.append("\(rest / Int(size))\(name)")
      rest %= Int(size)
    }
    return parts.joined(separator: " ")
  }
}
