import Hashing
import TestSupport
import Testing

@Suite("XXH64")
struct XXH64Tests {
  @Test(
    "Hashes are those of the reference implementation, for every kind of rest",
    arguments: [
      // python: xxhash.xxh64_intdigest(bytes((i * 31) % 251 for i in range(n)))
      (0, 0xef46_db37_51d8_e999),
      (1, 0xe934_a84a_db05_2768),
      (3, 0xe5d2_be4a_e4b3_469a),
      (4, 0x3b4d_7f7c_6bd1_ae90),
      (14, 0xc801_7a0e_5f1d_1bfb),
      (31, 0x5836_f086_07db_da19),
      (32, 0xb3f0_ec9d_8d21_6dea),
      (33, 0xc480_db42_8c35_ab3e),
      (100, 0xcd8c_2446_7b83_82ad),
      (1000, 0xd1be_e8e4_f060_3bbf),
    ] as [(Int, UInt64)])
  func reference(count: Int, expected: UInt64) {
    #expect(XXH64.hash((0..<count).map { UInt8($0 * 31 % 251) }) == expected)
  }

  @Test("A hash does not depend on where its bytes lie")
  func alignment() {
    let bytes = (0..<301).map { UInt8($0 * 31 % 251) }
    let expected = XXH64.hash(Array(bytes[7..<288]))
    var shifted = [UInt8](repeating: 0, count: 320)
    for shift in 0..<16 {
      shifted.replaceSubrange(shift..<(shift + 281), with: bytes[7..<288])
      let found = shifted.withUnsafeBytes { XXH64.hash(.init(rebasing: $0[shift..<(shift + 281)])) }
      #expect(found == expected)
    }
  }

  @Test("Every bit shows, wherever it is")
  func bits() {
    var words = (0..<9).map { UInt64($0) &* 0x9E37_79B9_7F4A_7C15 }
    var seen: Set<UInt64> = [XXH64.hash(words)]
    for place in words.indices {
      for bit in 0..<64 {
        words[place] ^= 1 << UInt64(bit)
        #expect(seen.insert(XXH64.hash(words)).inserted)
        words[place] ^= 1 << UInt64(bit)
      }
    }
  }

  @Test("A file is hashed as its bytes are, an empty one too; one that is not there has no hash")
  func files() throws {
    let directory = try TemporaryDirectory()
    for count in [0, 5, 70000] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
      try write(bytes, to: directory.path("file"))
      #expect(XXH64.hash(file: directory.path("file")) == XXH64.hash(bytes))
    }
    #expect(XXH64.hash(file: directory.path("none")) == nil)
    #expect(XXH64.hash(file: directory.path) == nil)
  }
}
