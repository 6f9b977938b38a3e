/// A hash table from byte strings to numbers, in flat arrays.
///
/// Keys are parts of other byte arrays, so a look-up neither copies nor allocates; they are told
/// apart byte by byte, never by Unicode equivalence.
struct ByteStringTable: Sendable {
  private struct Slot: Sendable {
    var hash: UInt32
    var length: Int32
    var offset: Int
    var value: UInt32
  }

  private var slots: [Slot]
  private var keys: [UInt8] = []
  private(set) var count = 0
  private static let empty = Slot(hash: 0, length: -1, offset: 0, value: 0)

  /// A table with room for `capacity` keys before it grows.
  init(capacity: Int = 16) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = [Slot](repeating: Self.empty, count: size)
  }

  /// Bytes that the keys take.
  var keyBytes: Int { keys.count }

  /// Forgets everything but keeps the memory.
  mutating func removeAll() {
    guard count > 0 else { return }
    for index in slots.indices { slots[index] = Self.empty }
    keys.removeAll(keepingCapacity: true)
    count = 0
  }

  /// The number of the key `bytes[range]`.
  @inline(__always)
  func value(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32? {
    let hash = Self.hash(bytes, range)
    let mask = slots.count - 1
    var index = Int(hash) & mask
    while slots[index].length >= 0 {
      if slots[index].hash == hash, matches(slots[index], bytes, range) {
        return slots[index].value
      }
      index = (index + 1) & mask
    }
    return nil
  }

  /// The number of a key.
  func value(_ key: [UInt8]) -> UInt32? { value(key, 0..<key.count) }

  /// Sets the number of a key.
  mutating func set(_ bytes: [UInt8], _ range: Range<Int>, to value: UInt32) {
    if 2 * (count + 1) > slots.count { grow() }
    let hash = Self.hash(bytes, range)
    let mask = slots.count - 1
    var index = Int(hash) & mask
    while slots[index].length >= 0 {
      if slots[index].hash == hash, matches(slots[index], bytes, range) {
        slots[index].value = value
        return
      }
      index = (index + 1) & mask
    }
    slots[index] = Slot(
      hash: hash, length: Int32(range.count), offset: keys.count, value: value)
    keys.append(contentsOf: bytes[range])
    count += 1
  }

  /// Sets the number of a key.
  mutating func set(_ key: [UInt8], to value: UInt32) { set(key, 0..<key.count, to: value) }

  private mutating func grow() {
    let old = slots
    slots = [Slot](repeating: Self.empty, count: old.count * 2)
    let mask = slots.count - 1
    for slot in old where slot.length >= 0 {
      var index = Int(slot.hash) & mask
      while slots[index].length >= 0 { index = (index + 1) & mask }
      slots[index] = slot
    }
  }

  @inline(__always)
  private func matches(_ slot: Slot, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    guard Int(slot.length) == range.count else { return false }
    var a = slot.offset
    for b in range {
      if keys[a] != bytes[b] { return false }
      a += 1
    }
    return true
  }

  /// FNV-1a with a last mixing step, since the table looks at the low bits.
  @inline(__always)
  private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in range { hash = (hash ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01b3 }
    return UInt32(truncatingIfNeeded: hash ^ (hash >> 29) ^ (hash >> 47))
  }
}
