import Patterns

/// A change of the text before it is cut.
indirect enum Normalizer: Sendable {
  case unicode(UnicodeNormalization)
  case lowercase
  /// Puts a text in front of any that is not empty.
  case prepend([UInt8])
  case replace(TextPattern, with: [UInt8])
  case strip(left: Bool, right: Bool)
  /// Writes every byte as a character.
  case byteLevel
  /// The cleaning of neural machine translation models.
  case nmt
  case sequence([Normalizer])

  /// A text on its way, and whether its first character still stands where the input begins: a
  /// Metaspace of the scheme `first` asks for that.
  struct Text {
    var bytes: [UInt8]
    var beginsAtStart: Bool
  }

  /// How much longer than the input a text may become: replacements of replacements would fill the
  /// memory.
  ///
  /// Published files stay below ten times.
  private static let growth = 256

  /// Changes the text.
  ///
  /// - Throws: where a regular expression takes too many steps, or the text grows beyond all measure.
  func apply(_ text: inout Text) throws(RegexError) {
    try apply(&text, limit: 1 << 16 + Self.growth * text.bytes.count)
  }

  private func apply(_ text: inout Text, limit: Int) throws(RegexError) {
    switch self {
    case .unicode(let form): text.bytes = form(text.bytes)
    case .lowercase: text.bytes = Self.lowercased(text.bytes)
    case .prepend(let prefix): if !text.bytes.isEmpty { text.bytes = prefix + text.bytes }
    case .replace(let pattern, let content):
      // The first character of a replacement stands where the last one replaced stood.
      text.bytes = try Self.replaced(
        text.bytes, pattern, content, limit, &text.beginsAtStart)
    case .strip(let left, let right): Self.strip(&text, left: left, right: right)
    case .byteLevel: text.bytes = ByteAlphabet.encode(text.bytes)
    case .nmt: Self.clean(&text)
    case .sequence(let parts): for part in parts { try part.apply(&text, limit: limit) }
    }
    if text.bytes.count > limit { throw Self.tooLong }
  }

  /// Changes a text of its own.
  func callAsFunction(_ bytes: [UInt8]) throws(RegexError) -> [UInt8] {
    var text = Text(bytes: bytes, beginsAtStart: true)
    try apply(&text)
    return text.bytes
  }

  private static let tooLong = RegexError(
    problem: "a text becomes more than \(growth) times as long")

  private static func lowercased(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var position = 0
    while position < bytes.count {
      let value = UTF8Text.next(bytes, &position)
      if value < 0x80 {
        result.append(value >= 0x41 && value <= 0x5a ? UInt8(value + 32) : UInt8(value))
      } else if let scalar = Unicode.Scalar(value) {
        result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
      }
    }
    return result
  }

  private static func replaced(
    _ bytes: [UInt8], _ pattern: TextPattern, _ content: [UInt8], _ limit: Int,
    _ beginsAtStart: inout Bool
  ) throws(RegexError) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var matcher = pattern.matcher()
    for stretch in try pattern.stretches(bytes, 0..<bytes.count, &matcher) {
      if stretch.isMatch {
        if result.isEmpty, stretch.range.lowerBound == 0 {
          var first = 0
          if !bytes.isEmpty { _ = UTF8Text.next(bytes, &first) }
          if content.isEmpty || stretch.range.upperBound > first { beginsAtStart = false }
        }
        result.append(contentsOf: content)
        if result.count > limit { throw tooLong }
      } else {
        result.append(contentsOf: bytes[stretch.range])
      }
    }
    return result
  }

  private static func strip(_ text: inout Text, left: Bool, right: Bool) {
    var start = 0
    var end = text.bytes.count
    if left {
      while start < end {
        var next = start
        guard UnicodeTables.whitespace.contains(UTF8Text.next(text.bytes, &next)) else { break }
        start = next
      }
    }
    if right {
      while end > start,
        UnicodeTables.whitespace.contains(UTF8Text.last(text.bytes, before: end))
      { end = UTF8Text.before(text.bytes, end) }
    }
    if start > 0 { text.beginsAtStart = false }
    text.bytes = Array(text.bytes[start..<end])
  }

  private static func clean(_ text: inout Text) {
    var result: [UInt8] = []
    var position = 0
    while position < text.bytes.count {
      let scalar = UTF8Text.next(text.bytes, &position)
      switch scalar {
      case 0x01...0x08, 0x0b, 0x0e...0x1f, 0x7f, 0x8f, 0x9f:
        if result.isEmpty { text.beginsAtStart = false }
      case 0x09, 0x0a, 0x0c, 0x0d, 0x1680, 0x200b...0x200f, 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd:
        result.append(0x20)
      default: UTF8Text.append(scalar, to: &result)
      }
    }
    text.bytes = result
  }
}
