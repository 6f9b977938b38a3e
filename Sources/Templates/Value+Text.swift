extension Value {
  /// Python's `str`: how a value is printed.
  var text: String {
    switch self {
    case .undefined: ""
    case .string(let text): text
    default: representation
    }
  }

  /// Python's `repr`: how a value is printed inside a list.
  var representation: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .integer(let value): String(value)
    case .double(let value): Value.text(of: value)
    case .string(let text): Value.quoted(text)
    case .list(let items): "[" + items.map(\.representation).joined(separator: ", ") + "]"
    case .tuple(let items):
      "(" + items.map(\.representation).joined(separator: ", ") + (items.count == 1 ? ",)" : ")")
    case .dictionary(let dictionary):
      "{"
        + dictionary.members.map { Value.quoted($0.key) + ": " + $0.value.representation }
        .joined(separator: ", ") + "}"
    case .namespace: "<Namespace>"
    case .loop(let loop): "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
    case .macro(let macro): "<Macro '\(macro.syntax.name)'>"
    case .function(let name), .method(_, let name): "<function \(name)>"
    }
  }

  private static func text(of value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return value.description
  }

  private static func quoted(_ text: String) -> String {
    let quote: Unicode.Scalar =
      text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
    var result = String(quote)
    for scalar in text.unicodeScalars {
      switch scalar {
      case quote, "\\": result += "\\" + String(scalar)
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case " ": result += " "
      default:
        if isPrintable(scalar) {
          result.unicodeScalars.append(scalar)
        } else {
          let (mark, width) =
            scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          result += "\\" + mark + hexadecimal(scalar.value, width: width)
        }
      }
    }
    return result + String(quote)
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      false
    default: true
    }
  }

  private static func hexadecimal(_ value: UInt32, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: width - digits.count) + digits
  }

  // MARK: JSON

  /// How `tojson` writes: Python's `json.dumps`, as transformers calls it.
  struct JSONStyle {
    var indentation: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortsKeys = false
    var escapesNonASCII = false
  }

  /// The value as JSON; nil where it holds something that JSON has not.
  func json(_ style: JSONStyle, depth: Int = 0) -> String? {
    switch self {
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return String(value)
    case .double(let value):
      if value.isNaN { return "NaN" }
      if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
      return Value.text(of: value)
    case .string(let text): return Value.jsonQuoted(text, style)
    case .list(let items), .tuple(let items):
      var parts: [String] = []
      for item in items {
        guard let part = item.json(style, depth: depth + 1) else { return nil }
        parts.append(part)
      }
      return Value.wrap(parts, "[", "]", style, depth)
    case .dictionary(let dictionary):
      var members = dictionary.members
      if style.sortsKeys {
        members.sort { $0.key.unicodeScalars.lexicographicallyPrecedes($1.key.unicodeScalars) }
      }
      var parts: [String] = []
      for (key, value) in members {
        guard let part = value.json(style, depth: depth + 1) else { return nil }
        parts.append(Value.jsonQuoted(key, style) + style.keySeparator + part)
      }
      return Value.wrap(parts, "{", "}", style, depth)
    default: return nil
    }
  }

  private static func wrap(
    _ parts: [String], _ open: String, _ close: String, _ style: JSONStyle, _ depth: Int
  ) -> String {
    guard let indentation = style.indentation, !parts.isEmpty else {
      return open + parts.joined(separator: style.itemSeparator) + close
    }
    let outer = "\n" + String(repeating: indentation, count: depth)
    let inner = outer + indentation
    return open + inner + parts.joined(separator: style.itemSeparator + inner) + outer + close
  }

  private static func jsonQuoted(_ text: String, _ style: JSONStyle) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{c}": result += "\\f"
      case "\0"..<" ": result += "\\u" + hexadecimal(scalar.value, width: 4)
      default:
        if style.escapesNonASCII, scalar.value > 0x7e {
          for unit in String(scalar).utf16 { result += "\\u" + hexadecimal(UInt32(unit), width: 4) }
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
