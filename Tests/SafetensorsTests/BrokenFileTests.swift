import Foundation
import JSON
import Safetensors
import Testing

@Suite("Broken safetensors files")
struct BrokenFileTests {
  private func entry(_ name: String, _ shape: String, _ begin: Int, _ end: Int) -> String {
    #""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}"#
  }

  @Test("A file that is not there, a directory and an empty file are unreadable or too short")
  func absent() throws {
    let scratch = try Scratch()
    #expect(
      openingError(scratch.path + "/none")
        == .unreadable(path: scratch.path + "/none", reason: "No such file or directory"))
    #expect(
      openingError(scratch.path)
        == .unreadable(path: scratch.path, reason: "it is a directory, not a file"))
    let empty = try scratch.file([])
    #expect(openingError(empty) == .tooShort(path: empty, byteCount: 0))
    let short = try scratch.file([1, 0, 0, 0, 0, 0, 0])
    #expect(openingError(short) == .tooShort(path: short, byteCount: 7))
  }

  @Test("A header longer than the file is refused", arguments: [3, 100, UInt64.max])
  func lyingLength(length: UInt64) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: "{}", dataBytes: 0, length: length)
    #expect(openingError(path) == .headerLength(path: path, stated: length, limit: 2))
  }

  @Test("A header beyond the format's limit is refused, however long the file is")
  func hugeHeader() throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: "{}", dataBytes: 0, length: 100_000_001)
    // A sparse file: it takes no room on the disk.
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: 200_000_000)
    try handle.close()
    #expect(
      openingError(path)
        == .headerLength(path: path, stated: 100_000_001, limit: 100_000_000))
  }

  @Test(
    "A header that is not JSON is refused with line and column",
    arguments: [
      #"{"a":"#, #"{"a" 1}"#, #"{"a":1,}"#, #"{"a":01}"#, #"{"a":NaN}"#, "{} x", #"{"\ud800":1}"#,
    ])
  func syntax(header: String) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: header, dataBytes: 0)
    guard case .headerSyntax(path, _)? = openingError(path) else {
      Issue.record("\(header) gave \(String(describing: openingError(path)))")
      return
    }
  }

  @Test("A header that is not UTF-8 is refused")
  func notUTF8() throws {
    let scratch = try Scratch()
    let bytes: [UInt8] =
      [8, 0, 0, 0, 0, 0, 0, 0] + [0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x20]
    let path = try scratch.file(bytes)
    #expect(
      openingError(path)
        == .headerSyntax(path: path, error: JSONError(line: 1, column: 2, problem: .notUTF8)))
  }

  @Test("A header that does not begin with a brace is refused", arguments: ["[]", " {}", ""])
  func notObject(header: String) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: header, dataBytes: 0)
    guard case .headerField(path, "the first byte", _, _)? = openingError(path) else {
      Issue.record("'\(header)' gave \(String(describing: openingError(path)))")
      return
    }
  }

  @Test("A name that comes twice is refused")
  func duplicateKey() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: "{" + entry("a", "[1]", 0, 4) + "," + entry("a", "[1]", 4, 8) + "}", dataBytes: 8)
    guard case .headerSyntax(path, let error)? = openingError(path) else {
      Issue.record("it gave \(String(describing: openingError(path)))")
      return
    }
    #expect(error.problem == .duplicateKey("a"))
  }

  @Test("A type that the format does not have is refused")
  func unknownType() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: #"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, dataBytes: 4)
    #expect(openingError(path) == .unknownType(path: path, tensor: "a", name: "F33"))
  }

  @Test(
    "Sizes that are negative, fractions, text or missing are refused",
    arguments: ["[-1]", "[1.5]", "[1e0]", #"["1"]"#, "null", "1", "[9223372036854775808]"])
  func badShape(shape: String) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: "{" + entry("a", shape, 0, 4) + "}", dataBytes: 4)
    guard case .headerField(path, "shape of 'a'", _, _)? = openingError(path) else {
      Issue.record("\(shape) gave \(String(describing: openingError(path)))")
      return
    }
  }

  @Test(
    "A shape whose product overflows is refused, whatever the multiplication wraps to",
    arguments: [[Int.max, 2], [1 << 32, 1 << 32, 4], [1 << 62, 4]])
  func overflow(shape: [Int]) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: "{" + entry("a", "\(shape)", 0, 0) + "}", dataBytes: 0)
    #expect(
      openingError(path) == .badSize(path: path, tensor: "a", shape: shape, type: "F32"))
  }

  @Test("Elements that end inside a byte are refused")
  func halfByte() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: #"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, dataBytes: 2)
    #expect(openingError(path) == .badSize(path: path, tensor: "a", shape: [3], type: "F4"))
  }

  @Test(
    "A byte range that is not the shape's is refused",
    arguments: [(0, 4), (0, 12), (8, 0), (0, Int.max)])
  func wrongRange(begin: Int, end: Int) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: "{" + entry("a", "[2]", begin, end) + "}", dataBytes: 8)
    #expect(
      openingError(path)
        == .wrongByteRange(path: path, tensor: "a", expected: 8, begin: begin, end: end))
  }

  @Test("Offsets near the end of the numbers do not wrap around")
  func offsetOverflow() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: "{" + entry("a", "[1]", Int.max - 4, Int.max) + "}", dataBytes: 4)
    #expect(
      openingError(path)
        == .wrongByteRange(
          path: path, tensor: "a", expected: 4, begin: Int.max - 4, end: Int.max))
  }

  @Test("Tensors that overlap are refused")
  func overlap() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: "{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[1]", 4, 8) + "}", dataBytes: 8)
    #expect(openingError(path) == .gapOrOverlap(path: path, tensor: "b", begin: 4, expected: 8))
  }

  @Test("Bytes that belong to no tensor are refused, at the beginning and in between")
  func hole() throws {
    let scratch = try Scratch()
    let between = try scratch.file(
      header: "{" + entry("b", "[1]", 8, 12) + "," + entry("a", "[1]", 0, 4) + "}", dataBytes: 12)
    #expect(
      openingError(between) == .gapOrOverlap(path: between, tensor: "b", begin: 8, expected: 4))
    let before = try scratch.file(header: "{" + entry("a", "[1]", 4, 8) + "}", dataBytes: 8)
    #expect(
      openingError(before) == .gapOrOverlap(path: before, tensor: "a", begin: 4, expected: 0))
  }

  @Test("Missing and superfluous bytes at the end are refused", arguments: [-1, 1, 100])
  func wrongSize(extra: Int) throws {
    let scratch = try Scratch()
    let header = "{" + entry("a", "[2]", 0, 8) + "}"
    let path = try scratch.file(header: header, dataBytes: 8 + extra)
    let expected = 8 + header.utf8.count + 8
    #expect(
      openingError(path) == .wrongFileSize(path: path, expected: expected, found: expected + extra))
  }

  @Test("Metadata that are not strings are refused", arguments: [#"{"a":1}"#, "[]"])
  func metadata(value: String) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: "{\"__metadata__\":\(value)}", dataBytes: 0)
    guard case .headerField(path, _, _, _)? = openingError(path) else {
      Issue.record("\(value) gave \(String(describing: openingError(path)))")
      return
    }
  }

  @Test("Every prefix of a sound file is refused")
  func truncation() throws {
    let scratch = try Scratch()
    let whole = [UInt8](
      try Data(
        contentsOf: URL(
          fileURLWithPath: fixture("safetensors/mixed.safetensors"))))
    for length in 0..<whole.count {
      #expect(openingError(try scratch.file(Array(whole[..<length]))) != nil, "\(length) bytes")
    }
    #expect(openingError(try scratch.file(whole)) == nil)
  }
}
