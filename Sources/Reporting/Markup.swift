/// Text made safe for HTML and SVG.
package enum Markup {
  /// `text` with everything escaped that markup would take for its own, in content and attributes.
  ///
  /// Control characters, which HTML and XML do not allow even escaped, become U+FFFD.
  package static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}": result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// A coordinate with one decimal.
  static func coordinate(_ value: Double) -> String {
    let tenths = (value * 10).rounded()
    return tenths.isFinite ? "\(tenths / 10)" : "0"
  }
}
