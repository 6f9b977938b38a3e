/// Classes of scalars as Python's `re` has them for text.
///
/// The tables are of the tokenizers library's Unicode version; Python's own differs in scalars that
/// were assigned since.
package enum PythonSets {
  /// `\d`: decimal digits of every script.
  package static let digits = UnicodeTables.category(prefix: "nd")
  static let asciiDigits = ScalarSet(0x30...0x39)
  /// `\w`: what `str.isalnum` takes, and the underscore.
  ///
  /// Marks are no part of a word.
  package static let word: ScalarSet = {
    var set = UnicodeTables.category(prefix: "l")
    set.formUnion(UnicodeTables.category(prefix: "n"))
    set.insert(0x5f...0x5f)
    return set
  }()
  static let asciiWord = ScalarSet(0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a)
  /// `\s`: what `str.isspace` takes, the four separators of ASCII too.
  package static let space: ScalarSet = {
    var set = UnicodeTables.whitespace
    set.insert(0x1c...0x1f)
    return set
  }()
  static let asciiSpace = ScalarSet(0x09...0x0d, 0x20...0x20)
}
