/// Properties of Unicode scalars as the reference library sees them.
///
/// They come from `UnicodeData`, not from Swift: the reference takes them from libraries of several
/// Unicode versions, and a letter of the wrong version would be cut into other tokens.
package enum UnicodeTables {
  /// General categories in the order of the letters in `UnicodeData.categories`.
  private static let categoryNames = [
    "lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "pc", "pd", "ps", "pe", "pi",
    "pf", "po", "sm", "sc", "sk", "so", "zs", "zl", "zp", "cc", "cf", "co", "cn",
  ]
  private static let categoryLetters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ!#%".utf8)

  /// Long names that patterns use, by the categories they stand for.
  private static let longNames = [
    "letter": "l", "number": "n", "mark": "m", "punctuation": "p", "symbol": "s",
    "separator": "z", "other": "c", "uppercaseletter": "lu", "lowercaseletter": "ll",
    "titlecaseletter": "lt", "modifierletter": "lm", "otherletter": "lo", "decimalnumber": "nd",
    "letternumber": "nl", "othernumber": "no", "nonspacingmark": "mn",
  ]

  /// The set that a property's name stands for in a pattern, or `nil` where it is not known here.
  static func property(_ name: String) -> ScalarSet? {
    var key = name.lowercased().filter { $0 != " " && $0 != "_" && $0 != "-" }
    if key == "han" { return han }
    if key == "any" { return ScalarSet(0...0x10ffff) }
    key = longNames[key] ?? key
    guard key.utf8.count <= 2, categoryNames.contains(where: { $0.hasPrefix(key) }) else {
      return nil
    }
    return category(prefix: key)
  }

  /// The scalars whose category begins so.
  static func category(prefix: String) -> ScalarSet {
    let wanted = Set(
      zip(categoryNames, categoryLetters).filter { $0.0.hasPrefix(prefix) }.map { $0.1 })
    var set = ScalarSet()
    var start: UInt32 = 0
    var length: UInt32 = 0
    for byte in UnicodeData.categories.utf8 {
      if let digit = digit(byte) {
        length = length * 36 + digit
      } else {
        if wanted.contains(byte) { set.insert(start...(start + length - 1)) }
        start += length
        length = 0
      }
    }
    return set
  }

  /// White space: `\s` everywhere, and Rust's `char::is_whitespace`, which agree.
  package static let whitespace = ScalarSet(
    0x09...0x0d, 0x20...0x20, 0x85...0x85, 0xa0...0xa0, 0x1680...0x1680, 0x2000...0x200a,
    0x2028...0x2029, 0x202f...0x202f, 0x205f...0x205f, 0x3000...0x3000)
  /// `\w` of Split and Replace.
  package static let word = runs(UnicodeData.word)
  /// `\w` of added tokens and of Whitespace.
  package static let otherWord = runs(UnicodeData.otherWord)
  /// What Digits takes for a digit.
  package static let numeric = runs(UnicodeData.numeric)
  /// What Punctuation takes for a mark.
  package static let punctuation = runs(UnicodeData.punctuation)
  /// The script Han.
  package static let han = runs(UnicodeData.han)
  /// Scalars that NFC never makes.
  static let excludedFromComposition = runs(UnicodeData.excluded)

  /// Canonical combining classes other than 0.
  static let combiningClasses: [UInt32: UInt8] = {
    Dictionary(
      entries(UnicodeData.combiningClasses).map { ($0, UInt8($1.first ?? 0)) },
      uniquingKeysWith: { a, _ in a })
  }()
  /// Full canonical decompositions, Hangul syllables apart.
  static let canonicalDecompositions = decompositions(UnicodeData.canonical)
  /// Full compatibility decompositions where they differ from the canonical ones.
  static let compatibilityDecompositions = decompositions(UnicodeCompatibilityData.compatible)

  private static func decompositions(_ text: String) -> [UInt32: [UInt32]] {
    Dictionary(entries(text), uniquingKeysWith: { a, _ in a })
  }

  /// `distance:value,value` in base 36, separated by blanks.
  private static func entries(_ text: String) -> [(UInt32, [UInt32])] {
    var result: [(UInt32, [UInt32])] = []
    var scalar: UInt32 = 0
    for entry in text.utf8.split(separator: UInt8(ascii: " ")) {
      let parts = entry.split(separator: UInt8(ascii: ":"))
      scalar += number(parts[0])
      result.append((scalar, parts[1].split(separator: UInt8(ascii: ",")).map(number)))
    }
    return result
  }

  /// Lengths of runs outside and inside, in turn.
  private static func runs(_ text: String) -> ScalarSet {
    var set = ScalarSet()
    var start: UInt32 = 0
    var isInside = false
    for run in text.utf8.split(separator: UInt8(ascii: " ")) {
      let length = number(run)
      if isInside, length > 0 { set.insert(start...(start + length - 1)) }
      start += length
      isInside.toggle()
    }
    return set
  }

  private static func number(_ digits: Substring.UTF8View) -> UInt32 {
    digits.reduce(0) { $0 * 36 + (digit($1) ?? 0) }
  }

  private static func digit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - 48)
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - 87)
    default: nil
    }
  }
}
