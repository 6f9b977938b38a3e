import Tokenizers

/// An example token by token, for the eye.
enum ExampleView {
  /// Lines with index, id, a mark where the token counts, and its text.
  static func text(
    _ tokens: [UInt32], _ mask: [UInt8], heading: String, tokenizer: Tokenizer
  ) -> String {
    var lines = ["\(heading), \(tokens.count) tokens, \(mask.count { $0 == 1 }) count (marked *)"]
    let width = String(tokens.count).count
    for (index, token) in tokens.enumerated() {
      let id = String(token)
      lines.append(
        "  " + String(repeating: " ", count: width - String(index).count) + "\(index)  "
          + String(repeating: " ", count: max(0, 7 - id.count)) + "\(id)  "
          + (mask[index] == 1 ? "*" : " ") + "  " + text(of: token, tokenizer))
    }
    return lines.joined(separator: "\n")
  }

  /// What a token says, with white space made visible; its spelling where it is half a character.
  private static func text(of id: UInt32, _ tokenizer: Tokenizer) -> String {
    // Decoding one token alone may take a leading blank away: its spelling has it.
    let spelling = tokenizer.token(of: id) ?? "?"
    let decoded = tokenizer.decode([id])
    let text = decoded.unicodeScalars.contains("\u{fffd}") || decoded.isEmpty ? spelling : decoded
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\0"..<" ", "\u{7f}": result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
