extension JSONNode {
  /// Reads the one value that `bytes` hold.
  ///
  /// - Parameter bytes: a JSON text in UTF-8; blanks around the value are allowed.
  /// - Throws: `JSONError` with line and column.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    var parser = JSONParser(bytes)
    self = try parser.document()
  }

  /// Reads the one value that `text` holds.
  public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }
}

/// A recursive-descent reader over the bytes of a text.
struct JSONParser {
  /// Deepest nesting; serde_json's limit too, far from the end of the stack.
  static let depthLimit = 128

  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JSONError) -> JSONNode {
    let value = try value()
    skipBlanks()
    if position < bytes.count { throw unexpected("the end of the text") }
    return value
  }

  private mutating func value() throws(JSONError) -> JSONNode {
    skipBlanks()
    guard position < bytes.count else { throw error(.unexpectedEnd) }
    switch bytes[position] {
    case UInt8(ascii: "{"): return .object(try object())
    case UInt8(ascii: "["): return .array(try array())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw unexpected("a value")
    }
  }

  private mutating func object() throws(JSONError) -> JSONObject {
    try enter()
    var members: [(key: String, value: JSONNode)] = []
    var keys = KeySet()
    if !skip(UInt8(ascii: "}")) {
      repeat {
        skipBlanks()
        guard position < bytes.count else { throw error(.unexpectedEnd) }
        guard bytes[position] == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
        let start = position
        let key = try string()
        guard keys.insert(key, among: members) else {
          throw error(.duplicateKey(key), at: start)
        }
        try expect(UInt8(ascii: ":"), "':'")
        members.append((key, try value()))
      } while skip(UInt8(ascii: ","))
      try expect(UInt8(ascii: "}"), "',' or '}'")
    }
    depth -= 1
    return JSONObject(members)
  }

  private mutating func array() throws(JSONError) -> [JSONNode] {
    try enter()
    var elements: [JSONNode] = []
    if !skip(UInt8(ascii: "]")) {
      repeat { elements.append(try value()) } while skip(UInt8(ascii: ","))
      try expect(UInt8(ascii: "]"), "',' or ']'")
    }
    depth -= 1
    return elements
  }

  private mutating func enter() throws(JSONError) {
    depth += 1
    if depth > Self.depthLimit { throw error(.tooDeep(limit: Self.depthLimit)) }
    position += 1
  }

  private mutating func string() throws(JSONError) -> String {
    let start = position
    position += 1
    let first = position
    while position < bytes.count, bytes[position] != UInt8(ascii: "\""),
      bytes[position] != UInt8(ascii: "\\"), bytes[position] >= 0x20
    { position += 1 }
    guard position < bytes.count else { throw error(.unexpectedEnd) }
    if bytes[position] == UInt8(ascii: "\"") {
      defer { position += 1 }
      return try text(bytes[first..<position], start)
    }
    var unescaped = Array(bytes[first..<position])
    while true {
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      let byte = bytes[position]
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return try text(unescaped[...], start)
      case UInt8(ascii: "\\"): try escape(into: &unescaped)
      case 0..<0x20: throw unexpected("control characters to be escaped")
      default:
        unescaped.append(byte)
        position += 1
      }
    }
  }

  private func text(_ slice: ArraySlice<UInt8>, _ start: Int) throws(JSONError) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw error(.notUTF8, at: start)
    }
    return text
  }

  private mutating func escape(into result: inout [UInt8]) throws(JSONError) {
    let start = position
    position += 1
    guard position < bytes.count else { throw error(.unexpectedEnd) }
    let letter = bytes[position]
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(letter)
    case UInt8(ascii: "b"): result.append(8)
    case UInt8(ascii: "f"): result.append(12)
    case UInt8(ascii: "n"): result.append(10)
    case UInt8(ascii: "r"): result.append(13)
    case UInt8(ascii: "t"): result.append(9)
    case UInt8(ascii: "u"):
      var code = try hexadecimal(start)
      if code & 0xfc00 == 0xd800 {
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
          bytes[position + 1] == UInt8(ascii: "u")
        else { throw error(.badEscape, at: start) }
        position += 2
        let low = try hexadecimal(start)
        guard low & 0xfc00 == 0xdc00 else { throw error(.badEscape, at: start) }
        code = 0x10000 + (code & 0x3ff) << 10 + low & 0x3ff
      }
      guard let scalar = Unicode.Scalar(code) else { throw error(.badEscape, at: start) }
      result.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    default: throw error(.badEscape, at: start)
    }
  }

  private mutating func hexadecimal(_ start: Int) throws(JSONError) -> UInt32 {
    guard position + 4 <= bytes.count else { throw error(.unexpectedEnd) }
    var value: UInt32 = 0
    for byte in bytes[position..<(position + 4)] {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - 48)
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - 87)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - 55)
      default: throw error(.badEscape, at: start)
      }
    }
    position += 4
    return value
  }

  private mutating func number() throws(JSONError) -> JSONNode {
    let start = position
    var isInteger = true
    if bytes[position] == UInt8(ascii: "-") { position += 1 }
    let firstDigit = position
    guard skipDigits() > 0 else { throw error(.badNumber, at: start) }
    if bytes[firstDigit] == UInt8(ascii: "0"), position - firstDigit > 1 {
      throw error(.badNumber, at: start)
    }
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      guard skipDigits() > 0 else { throw error(.badNumber, at: start) }
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      position += 1
      if position < bytes.count, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(bytes[position]) {
        position += 1
      }
      guard skipDigits() > 0 else { throw error(.badNumber, at: start) }
    }
    let digits = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(digits) { return .integer(value) }
    guard let value = Double(digits), value.isFinite else { throw error(.badNumber, at: start) }
    return .number(value)
  }

  private mutating func skipDigits() -> Int {
    let start = position
    while position < bytes.count, bytes[position] >= 48, bytes[position] <= 57 { position += 1 }
    return position - start
  }

  private mutating func word(_ text: String, _ value: JSONNode) throws(JSONError) -> JSONNode {
    guard bytes[position...].starts(with: text.utf8) else { throw unexpected("a value") }
    position += text.utf8.count
    return value
  }

  private mutating func skipBlanks() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0a, 0x0d: position += 1
      default: return
      }
    }
  }

  /// Passes over `byte`, after blanks, where it is next.
  private mutating func skip(_ byte: UInt8) -> Bool {
    skipBlanks()
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws(JSONError) {
    if skip(byte) { return }
    throw position < bytes.count ? unexpected(what) : error(.unexpectedEnd)
  }

  private func unexpected(_ expected: String) -> JSONError {
    error(.unexpectedByte(bytes[position], expected: expected))
  }

  private func error(_ problem: JSONError.Problem, at offset: Int? = nil) -> JSONError {
    let before = bytes[..<(offset ?? position)]
    let line = before.count { $0 == 0x0a } + 1
    let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
    return JSONError(line: line, column: before.endIndex - lineStart + 1, problem: problem)
  }
}

/// The keys of an object so far, told apart by their bytes.
private struct KeySet {
  /// Up to here a walk is quicker than hashing.
  private static let walkLimit = 8
  private var hashed: Set<Key> = []

  private struct Key: Hashable {
    let text: String
    static func == (a: Key, b: Key) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }
    func hash(into hasher: inout Hasher) {
      var copy = text
      // The bytes are read inside the closure only.
      copy.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  /// Notes `key`; false where it was there.
  mutating func insert(
    _ key: String, among members: [(key: String, value: JSONNode)]
  ) -> Bool {
    if members.count < Self.walkLimit {
      return !members.contains { $0.key.utf8.elementsEqual(key.utf8) }
    }
    if hashed.isEmpty { hashed = Set(members.map { Key(text: $0.key) }) }
    return hashed.insert(Key(text: key)).inserted
  }
}
