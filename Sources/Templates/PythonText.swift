/// Python's operations on text: by code points, with Python's idea of white space.
///
/// Swift's own string operations go by grapheme clusters and canonical equivalence, so that "\r\n" is
/// one character and "é" has two equal spellings; a template rendered so would differ from Python's.
enum PythonText {
  static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    // Python counts the four separators U+001C ... U+001F, Unicode does not.
    scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
  }

  static func equal(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

  /// `str.strip`, `lstrip`, `rstrip`; `characters` nil is white space.
  static func strip(
    _ text: String, _ characters: String? = nil, left: Bool = true, right: Bool = true
  ) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    let goes = { (scalar: Unicode.Scalar) in set?.contains(scalar) ?? isSpace(scalar) }
    var view = text.unicodeScalars[...]
    if left { view = view.drop(while: goes) }
    if right { while let last = view.last, goes(last) { view.removeLast() } }
    return String(view)
  }

  /// Where `needle` begins in `text`, from `start`; an empty needle is everywhere.
  static func find(
    _ needle: [Unicode.Scalar], in text: [Unicode.Scalar], from start: Int = 0
  ) -> Int? {
    var index = start
    while index + needle.count <= text.count {
      if text[index..<(index + needle.count)].elementsEqual(needle) { return index }
      index += 1
    }
    return nil
  }

  static func contains(_ needle: String, in text: String) -> Bool {
    find(Array(needle.unicodeScalars), in: Array(text.unicodeScalars)) != nil
  }

  /// `str.split(separator, limit)`; a negative limit is none.
  static func split(_ text: String, _ separator: String, limit: Int = -1) -> [String] {
    let (scalars, needle) = (Array(text.unicodeScalars), Array(separator.unicodeScalars))
    var parts: [String] = []
    var start = 0
    while limit < 0 || parts.count < limit, let match = find(needle, in: scalars, from: start) {
      parts.append(string(scalars[start..<match]))
      start = match + needle.count
    }
    parts.append(string(scalars[start...]))
    return parts
  }

  /// `str.rsplit(separator, limit)`.
  static func splitFromRight(_ text: String, _ separator: String, limit: Int = -1) -> [String] {
    let backwards = { (part: String) in string(part.unicodeScalars.reversed()) }
    return split(backwards(text), backwards(separator), limit: limit).map(backwards).reversed()
  }

  /// `str.split()`: words between white space.
  static func words(_ text: String, limit: Int = -1) -> [String] {
    var words: [String] = []
    var rest = text.unicodeScalars[...].drop(while: isSpace)
    while !rest.isEmpty {
      if words.count == limit {
        words.append(strip(String(rest), left: false))
        break
      }
      let word = rest.prefix { !isSpace($0) }
      words.append(String(word))
      rest = rest[word.endIndex...].drop(while: isSpace)
    }
    return words
  }

  /// `str.splitlines()`.
  static func lines(_ text: String) -> [String] {
    let breaks: Set<Unicode.Scalar> = [
      "\n", "\r", "\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{85}", "\u{2028}", "\u{2029}",
    ]
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var previous: Unicode.Scalar?
    for scalar in text.unicodeScalars {
      if scalar == "\n" && previous == "\r" {
        // The pair is one break, counted at its first half.
      } else if breaks.contains(scalar) {
        lines.append(String(line))
        line = .init()
      } else {
        line.append(scalar)
      }
      previous = scalar
    }
    if !line.isEmpty { lines.append(String(line)) }
    return lines
  }

  /// `str.replace(old, new, limit)`.
  static func replace(_ text: String, _ old: String, _ new: String, limit: Int = -1) -> String {
    guard old.isEmpty else { return split(text, old, limit: limit).joined(separator: new) }
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
      if limit < 0 || count < limit {
        result += new
        count += 1
      }
      result.unicodeScalars.append(scalar)
    }
    return limit < 0 || count < limit ? result + new : result
  }

  /// First character upper, the others lower case.
  static func capitalize(_ text: String) -> String {
    guard let first = text.unicodeScalars.first else { return "" }
    return first.properties.titlecaseMapping
      + String(text.unicodeScalars.dropFirst()).lowercased()
  }

  /// `str.title`: a capital after whatever is not a letter.
  static func title(_ text: String) -> String {
    var result = ""
    var follows = false
    for scalar in text.unicodeScalars {
      let mapping = scalar.properties
      result += follows ? mapping.lowercaseMapping : mapping.titlecaseMapping
      follows = mapping.isCased
    }
    return result
  }

  /// Jinja's `title` filter: a capital at the start of what blanks, hyphens and brackets separate.
  static func titleFilter(_ text: String) -> String {
    var result = ""
    var follows = false
    for scalar in text.unicodeScalars {
      let separates = isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar)
      let mapping = scalar.properties
      result +=
        separates ? String(scalar) : follows ? mapping.lowercaseMapping : mapping.uppercaseMapping
      follows = !separates
    }
    return result
  }
}
