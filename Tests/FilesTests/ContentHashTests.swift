import Files
import Hashing
import Testing

@Suite("Content hash")
struct ContentHashTests {
  @Test("It is XXH64 of the stream", arguments: [0, 3, 32, 1000])
  func algorithm(count: Int) {
    let bytes = (0..<count).map { UInt8(($0 * 31) % 251) }
    var hash = ContentHash()
    hash.update(bytes)
    #expect(hash.value == XXH64.hash(bytes))
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
