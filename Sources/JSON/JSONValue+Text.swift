extension JSONValue {
  /// The value as JSON text with sorted keys.
  ///
  /// - Parameter indentation: spaces a level, as Python's `json.dumps(indent:)`; nil for one line.
  public func text(indentation: Int? = nil) -> String {
    var out = ""
    write(into: &out, indentation: indentation, depth: 0)
    return out
  }

  private func write(into out: inout String, indentation: Int?, depth: Int) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .int(let value): out += String(value)
    case .double(let value): out += Self.number(value)
    case .string(let value): Self.quote(value, into: &out)
    case .array(let elements):
      Self.list(
        elements, open: "[", close: "]", into: &out, indentation: indentation, depth: depth
      ) { element, out in
        element.write(into: &out, indentation: indentation, depth: depth + 1)
      }
    case .object(let members):
      Self.list(
        members.sorted { $0.key.unicodeScalars.lexicographicallyPrecedes($1.key.unicodeScalars) },
        open: "{", close: "}", into: &out, indentation: indentation, depth: depth
      ) { member, out in
        Self.quote(member.key, into: &out)
        out += ": "
        member.value.write(into: &out, indentation: indentation, depth: depth + 1)
      }
    }
  }

  private static func list<Element>(
    _ elements: [Element], open: String, close: String, into out: inout String, indentation: Int?,
    depth: Int, write: (Element, inout String) -> Void
  ) {
    out += open
    for (index, element) in elements.enumerated() {
      if index > 0 { out += indentation == nil ? ", " : "," }
      if let indentation {
        out += "\n" + String(repeating: " ", count: indentation * (depth + 1))
      }
      write(element, &out)
    }
    if let indentation, !elements.isEmpty {
      out += "\n" + String(repeating: " ", count: indentation * depth)
    }
    out += close
  }

  /// A number, or `null` for infinities and NaN, which JSON does not have.
  ///
  /// A reader that takes the text for JSON must not fail on it. Whoever writes a number that matters
  /// checks it first.
  private static func number(_ value: Double) -> String {
    value.isFinite ? value.description : "null"
  }

  private static func quote(_ value: String, into out: inout String) {
    out += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\u{0}"..<"\u{20}", "\u{7F}":
        let hex = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}
