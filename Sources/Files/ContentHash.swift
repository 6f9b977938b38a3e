/// XXH64 (Collet, xxHash specification 0.1.1): a digest against accident, several bytes a cycle.
///
/// ```swift
/// var hash = ContentHash()
/// hash.update(text: "abc")
/// hash.value  // 0x44bc2cf5ad770999
/// ```
///
/// It finds what disks, copies and crashes do to a file and tells datasets apart. It is no defence
/// against somebody who wants two files to agree, and needs none: it guards a user's own files. A
/// cryptographic digest in plain Swift would cost a large checkpoint seconds instead of a moment.
package struct ContentHash: Sendable {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  private var lane1 = ContentHash.prime1 &+ ContentHash.prime2
  private var lane2 = ContentHash.prime2
  private var lane3: UInt64 = 0
  private var lane4 = 0 &- ContentHash.prime1
  /// Bytes that do not fill a stripe of 32 yet, little-endian in four words.
  private var pending = SIMD4<UInt64>.zero
  private var pendingCount = 0
  private var totalCount: UInt64 = 0

  /// The hash of nothing yet, with seed 0.
  package init() {}

  /// Goes on with `bytes`; how a stream is cut into pieces does not matter.
  @unsafe
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    totalCount &+= UInt64(bytes.count)
    var position = 0
    while pendingCount > 0 && position < bytes.count {
      append(unsafe bytes[position])
      position += 1
    }
    while position + 32 <= bytes.count {
      // Unsafe: the four words lie inside the buffer by the condition above.
      mix(
        unsafe SIMD4(
          bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self),
          bytes.loadUnaligned(fromByteOffset: position + 8, as: UInt64.self),
          bytes.loadUnaligned(fromByteOffset: position + 16, as: UInt64.self),
          bytes.loadUnaligned(fromByteOffset: position + 24, as: UInt64.self)))
      position += 32
    }
    while position < bytes.count {
      append(unsafe bytes[position])
      position += 1
    }
  }

  /// Goes on with the elements of an array as they lie in memory (little-endian on every processor
  /// that the program runs on).
  package mutating func update<Element: BitwiseCopyable>(_ elements: [Element]) {
    unsafe elements.withUnsafeBytes { unsafe update($0) }
  }

  /// Goes on with the length and the UTF-8 of a text.
  package mutating func update(text: String) {
    update(UInt64(text.utf8.count))
    update(Array(text.utf8))
  }

  /// Goes on with a number.
  package mutating func update(_ number: UInt64) { update([number.littleEndian]) }

  /// The hash of everything so far.
  package var value: UInt64 {
    var hash: UInt64
    if totalCount >= 32 {
      hash =
        rotate(lane1, 1) &+ rotate(lane2, 7) &+ rotate(lane3, 12) &+ rotate(lane4, 18)
      for lane in [lane1, lane2, lane3, lane4] {
        hash = (hash ^ round(0, lane)) &* ContentHash.prime1 &+ ContentHash.prime4
      }
    } else {
      hash = ContentHash.prime5
    }
    hash = hash &+ totalCount
    var position = 0
    while position + 8 <= pendingCount {
      hash =
        rotate(hash ^ round(0, pending[position / 8]), 27) &* ContentHash.prime1
        &+ ContentHash.prime4
      position += 8
    }
    if position + 4 <= pendingCount {
      let word = pending[position / 8] & 0xffff_ffff
      hash =
        rotate(hash ^ (word &* ContentHash.prime1), 23) &* ContentHash.prime2
        &+ ContentHash.prime3
      position += 4
    }
    while position < pendingCount {
      let byte = (pending[position / 8] >> UInt64(position % 8 * 8)) & 0xff
      hash = rotate(hash ^ (byte &* ContentHash.prime5), 11) &* ContentHash.prime1
      position += 1
    }
    hash = (hash ^ (hash >> 33)) &* ContentHash.prime2
    hash = (hash ^ (hash >> 29)) &* ContentHash.prime3
    return hash ^ (hash >> 32)
  }

  /// The value as `xxh64:` and 16 hexadecimal digits, for files and logs.
  package var text: String {
    let digits = String(value, radix: 16)
    return "xxh64:" + String(repeating: "0", count: 16 - digits.count) + digits
  }

  private mutating func append(_ byte: UInt8) {
    pending[pendingCount / 8] |= UInt64(byte) << UInt64(pendingCount % 8 * 8)
    pendingCount += 1
    if pendingCount == 32 {
      mix(pending)
      pending = .zero
      pendingCount = 0
    }
  }

  private mutating func mix(_ words: SIMD4<UInt64>) {
    lane1 = round(lane1, words[0])
    lane2 = round(lane2, words[1])
    lane3 = round(lane3, words[2])
    lane4 = round(lane4, words[3])
  }

  private func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotate(lane &+ word &* ContentHash.prime2, 31) &* ContentHash.prime1
  }

  private func rotate(_ word: UInt64, _ bits: UInt64) -> UInt64 {
    word << bits | word >> (64 - bits)
  }
}
