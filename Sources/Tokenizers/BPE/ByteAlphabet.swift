import Patterns

/// GPT-2's way to write any bytes as visible characters: each byte has one.
enum ByteAlphabet {
  /// The scalar of each byte.
  static let scalars: [UInt32] = {
    var result: [UInt32] = []
    var extra: UInt32 = 0x100
    for byte in UInt32(0)...255 {
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: result.append(byte)
      default:
        result.append(extra)
        extra += 1
      }
    }
    return result
  }()

  /// The byte of each scalar up to U+0143; -1 where there is none.
  static let bytes: [Int16] = {
    var result = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { result[Int(scalar)] = Int16(byte) }
    return result
  }()

  /// The bytes as characters.
  static func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in bytes { UTF8Text.append(scalars[Int(byte)], to: &result) }
    return result
  }

  /// The bytes that the characters stand for, or `nil` where one stands for none.
  static func decode(_ text: [UInt8]) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var position = 0
    while position < text.count {
      let scalar = UTF8Text.next(text, &position)
      guard scalar < 0x144, bytes[Int(scalar)] >= 0 else { return nil }
      result.append(UInt8(bytes[Int(scalar)]))
    }
    return result
  }
}
