import Hashing
import Testing

@Suite("SHA-256")
struct SHA256Tests {
  @Test("Digests are those of the standard's examples")
  func examples() {
    #expect(
      SHA256.hexadecimal(of: [])
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(
      SHA256.hexadecimal(of: Array("abc".utf8))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      SHA256.hexadecimal(of: [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test("Pieces give what the whole gives", arguments: [1, 55, 56, 63, 64, 65, 119])
  func pieces(length: Int) {
    let bytes = (0..<length).map { UInt8($0) }
    var digest = SHA256()
    for byte in bytes { digest.update([byte]) }
    #expect(digest.hexadecimal() == SHA256.hexadecimal(of: bytes))
  }
}
