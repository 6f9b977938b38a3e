import Patterns

/// A step from tokens back to text.
indirect enum TokenDecoder: Sendable {
  case byteLevel
  case replace(TextPattern, with: [UInt8])
  /// `<0xNN>` become bytes.
  case byteFallback
  case fuse
  case strip(scalar: UInt32, start: Int, stop: Int)
  case metaspace(replacement: UInt32, PreTokenizer.PrependScheme)
  /// The end-of-word suffix becomes a blank.
  case bpe(suffix: [UInt8])
  case sequence([TokenDecoder])

  private static let replacementCharacter: [UInt8] = [0xef, 0xbf, 0xbd]

  /// Whether byte tokens become text somewhere in it.
  var joinsBytes: Bool {
    switch self {
    case .byteFallback: true
    case .sequence(let parts): parts.contains(where: \.joinsBytes)
    default: false
    }
  }

  /// The next form of the tokens.
  func apply(_ tokens: [[UInt8]]) -> [[UInt8]] {
    switch self {
    case .byteLevel:
      var bytes: [UInt8] = []
      for token in tokens { bytes.append(contentsOf: ByteAlphabet.decode(token) ?? token) }
      return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
    case .replace(let pattern, let content):
      return tokens.map { Self.replaced($0, pattern, content) }
    case .byteFallback: return Self.joinBytes(tokens)
    case .fuse: return [Array(tokens.joined())]
    case .strip(let scalar, let start, let stop):
      return tokens.map { Self.strip($0, scalar, start: start, stop: stop) }
    case .metaspace(let replacement, let scheme):
      return tokens.enumerated().map { index, token in
        var result: [UInt8] = []
        for scalar in UTF8Text.scalars(token) {
          if scalar != replacement {
            UTF8Text.append(scalar, to: &result)
          } else if index > 0 || scheme == .never {
            result.append(0x20)
          }
        }
        return result
      }
    case .bpe(let suffix):
      return tokens.enumerated().map { index, token in
        let content: [UInt8] = index == tokens.count - 1 ? [] : [0x20]
        return Self.replaced(token, .literal(suffix), content)
      }
    case .sequence(let parts): return parts.reduce(tokens) { $1.apply($0) }
    }
  }

  private static func replaced(
    _ token: [UInt8], _ pattern: TextPattern, _ content: [UInt8]
  ) -> [UInt8] {
    var matcher = pattern.matcher()
    // Patterns that could take too many steps on a token are refused when the file is read.
    let stretches = try? pattern.stretches(token, 0..<token.count, &matcher)
    return stretches?.flatMap { $0.isMatch ? content : Array(token[$0.range]) } ?? token
  }

  /// Whether a regular expression repeats a group, which may take more steps than a token is worth.
  var hasLoops: Bool {
    switch self {
    case .replace(.regex(let program), _): program.hasLoops
    case .sequence(let parts): parts.contains(where: \.hasLoops)
    default: false
    }
  }

  /// How much longer a token may become, at most.
  var growth: Int {
    switch self {
    case .replace(.literal(let text), let content):
      max(1, (content.count + text.count - 1) / text.count)
    case .replace(.regex(let program), let content):
      max(1, content.count + (program.canBeEmpty ? 1 : 0))
    case .sequence(let parts):
      parts.reduce(1) { growth, part in
        let (product, overflows) = growth.multipliedReportingOverflow(by: part.growth)
        return overflows ? .max : product
      }
    default: 1
    }
  }

  /// Runs of byte tokens become text where they are UTF-8, else as many replacement characters.
  private static func joinBytes(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var bytes: [UInt8] = []
    func flush() {
      guard !bytes.isEmpty else { return }
      if String(validating: bytes, as: UTF8.self) != nil {
        result.append(bytes)
      } else {
        for _ in bytes { result.append(replacementCharacter) }
      }
      bytes.removeAll()
    }
    for token in tokens {
      if let byte = byte(token) {
        bytes.append(byte)
      } else {
        flush()
        result.append(token)
      }
    }
    flush()
    return result
  }

  /// The byte that a token `<0xNN>` stands for.
  ///
  /// The reference's number reader takes a plus sign too.
  static func byte(_ token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">")
    else { return nil }
    let digits = token[3] == UInt8(ascii: "+") ? token[4..<5] : token[3..<5]
    guard digits.allSatisfy({ $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }) else {
      return nil
    }
    return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  private static func strip(
    _ token: [UInt8], _ scalar: UInt32, start: Int, stop: Int
  ) -> [UInt8] {
    let scalars = UTF8Text.scalars(token)
    let first = scalars.prefix(start).prefix { $0 == scalar }.count
    let last = scalars.count - scalars.suffix(stop).reversed().prefix { $0 == scalar }.count
    guard first < last else { return [] }
    var result: [UInt8] = []
    for scalar in scalars[first..<last] { UTF8Text.append(scalar, to: &result) }
    return result
  }
}
