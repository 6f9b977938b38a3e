/// Walking over UTF-8 that is known to be valid: everything in this module comes from a `String`.
package enum UTF8Text {
  /// The scalar at `position`, which moves behind it.
  @inlinable @inline(__always)
  package static func next(_ bytes: [UInt8], _ position: inout Int) -> UInt32 {
    let first = UInt32(bytes[position])
    if first < 0x80 {
      position += 1
      return first
    }
    if first < 0xe0 {
      let scalar = (first & 0x1f) << 6 | UInt32(bytes[position + 1] & 0x3f)
      position += 2
      return scalar
    }
    if first < 0xf0 {
      let scalar =
        (first & 0x0f) << 12 | UInt32(bytes[position + 1] & 0x3f) << 6
        | UInt32(bytes[position + 2] & 0x3f)
      position += 3
      return scalar
    }
    let scalar =
      (first & 0x07) << 18 | UInt32(bytes[position + 1] & 0x3f) << 12
      | UInt32(bytes[position + 2] & 0x3f) << 6 | UInt32(bytes[position + 3] & 0x3f)
    position += 4
    return scalar
  }

  /// Where the scalar before `position` begins.
  @inlinable @inline(__always)
  package static func before(_ bytes: [UInt8], _ position: Int) -> Int {
    var start = position - 1
    while bytes[start] & 0xc0 == 0x80 { start -= 1 }
    return start
  }

  /// The scalar before `position`.
  package static func last(_ bytes: [UInt8], before position: Int) -> UInt32 {
    var start = before(bytes, position)
    return next(bytes, &start)
  }

  /// Appends a scalar.
  @inlinable @inline(__always)
  package static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
    if scalar < 0x80 {
      bytes.append(UInt8(scalar))
    } else if scalar < 0x800 {
      bytes.append(UInt8(0xc0 | scalar >> 6))
      bytes.append(UInt8(0x80 | scalar & 0x3f))
    } else if scalar < 0x10000 {
      bytes.append(UInt8(0xe0 | scalar >> 12))
      bytes.append(UInt8(0x80 | (scalar >> 6) & 0x3f))
      bytes.append(UInt8(0x80 | scalar & 0x3f))
    } else {
      bytes.append(UInt8(0xf0 | scalar >> 18))
      bytes.append(UInt8(0x80 | (scalar >> 12) & 0x3f))
      bytes.append(UInt8(0x80 | (scalar >> 6) & 0x3f))
      bytes.append(UInt8(0x80 | scalar & 0x3f))
    }
  }

  /// All scalars.
  package static func scalars(_ bytes: [UInt8]) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(bytes.count)
    var position = 0
    while position < bytes.count { result.append(next(bytes, &position)) }
    return result
  }
}
