import Files
import Hashing
import Testing

@Suite("Content hash")
struct ContentHashTests {
  @Test(
    "XXH64 gives the values of the reference implementation",
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
  func referenceValues(count: Int, expected: UInt64) {
    var hash = ContentHash()
    hash.update((0..<count).map { UInt8(($0 * 31) % 251) })
    #expect(hash.value == expected)
  }

  @Test("How a stream is cut does not matter", arguments: [1, 3, 8, 31, 32, 33, 64])
  func pieces(size: Int) {
    let bytes = (0..<500).map { UInt8(($0 * 7) % 256) }
    var whole = ContentHash()
    whole.update(bytes)
    var pieces = ContentHash()
    for start in stride(from: 0, to: bytes.count, by: size) {
      pieces.update(Array(bytes[start..<min(start + size, bytes.count)]))
    }
    #expect(pieces.value == whole.value)
  }

  @Test("The text has all sixteen digits")
  func text() {
    #expect(ContentHash().text == "xxh64:ef46db3751d8e999")
  }
}
