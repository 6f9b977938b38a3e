import Foundation

/// Records of a TensorBoard event file: named scalars at a step.
///
/// The format is TensorFlow's: records framed by their length and masked CRC-32C checksums
/// (`tensorflow/core/lib/io/record_writer.h`), each an `Event` message (`event.proto`). It knows
/// numbers with names, not what they mean.
package enum EventRecord {
  /// The record that every file begins with.
  package static func start(time: Double) -> [UInt8] {
    var event = ProtocolBuffer()
    event.append(1, double: time)
    event.append(3, bytes: Array("brain.Event:2".utf8))
    return framed(event.bytes)
  }

  /// A (re)start behind a step: what earlier files say of later steps is dropped.
  package static func restart(time: Double, step: Int) -> [UInt8] {
    var log = ProtocolBuffer()
    log.append(1, integer: 1)  // SessionLog.START
    var event = ProtocolBuffer()
    event.append(1, double: time)
    event.append(2, integer: step)
    event.append(7, bytes: log.bytes)
    return framed(event.bytes)
  }

  /// Scalars of a step.
  ///
  /// - Parameters:
  ///   - values: each with its tag.
  ///   - step: the optimiser step.
  ///   - time: seconds since 1970.
  package static func scalars(
    _ values: [(name: String, value: Double)], step: Int, time: Double
  ) -> [UInt8] {
    var summary = ProtocolBuffer()
    for (name, number) in values {
      var value = ProtocolBuffer()
      value.append(1, bytes: Array(name.utf8))
      value.append(2, float: Float(number))
      summary.append(1, bytes: value.bytes)
    }
    var event = ProtocolBuffer()
    event.append(1, double: time)
    event.append(2, integer: step)
    event.append(5, bytes: summary.bytes)
    return framed(event.bytes)
  }

  private static func framed(_ data: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(data.count))
    return length + littleEndian(masked(length)) + data + littleEndian(masked(data))
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<(value.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// A checksum that may itself lie in checked data.
  private static func masked(_ data: [UInt8]) -> UInt32 {
    let sum = crc32c(data)
    return (sum >> 15 | sum << 17) &+ 0xa282_ead8
  }

  /// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
  static func crc32c(_ data: [UInt8]) -> UInt32 {
    ~data.reduce(UInt32.max) { sum, byte in
      table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] ^ sum >> 8
    }
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in
      value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1
    }
  }
}

/// As much of Protocol Buffers' wire format as event files need.
private struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  private mutating func append(varint: UInt64) {
    var rest = varint
    while rest > 127 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 128)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  mutating func append(_ field: Int, integer: Int) {
    append(varint: UInt64(field << 3))
    append(varint: UInt64(bitPattern: Int64(integer)))
  }

  mutating func append(_ field: Int, double: Double) {
    append(varint: UInt64(field << 3 | 1))
    for shift in stride(from: 0, to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: double.bitPattern >> UInt64(shift)))
    }
  }

  mutating func append(_ field: Int, float: Float) {
    append(varint: UInt64(field << 3 | 5))
    for shift in stride(from: 0, to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: float.bitPattern >> UInt32(shift)))
    }
  }

  mutating func append(_ field: Int, bytes content: [UInt8]) {
    append(varint: UInt64(field << 3 | 2))
    append(varint: UInt64(content.count))
    bytes += content
  }
}
