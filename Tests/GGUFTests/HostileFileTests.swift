import Foundation
import GGUF
import TestSupport
import Testing

/// A GGUF file, byte by byte.
struct GGUFBytes {
  private(set) var bytes: [UInt8] = []

  mutating func text(_ text: String) {
    number(UInt64(text.utf8.count))
    bytes += Array(text.utf8)
  }

  mutating func number<Number: FixedWidthInteger>(_ number: Number) {
    var value = number.littleEndian
    withUnsafeBytes(of: &value) { bytes += Array($0) }
  }

  mutating func pad(to alignment: Int = 32) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  /// A header with `tensors` of [32] numbers in F32 and some keys of every type.
  static func sound(tensors: Int = 20, offset: (Int) -> UInt64 = { UInt64(128 * $0) }) -> GGUFBytes
  {
    var file = GGUFBytes()
    file.bytes = Array("GGUF".utf8)
    file.number(UInt32(3))
    file.number(UInt64(tensors))
    file.number(UInt64(4))
    file.text("general.architecture")
    file.number(UInt32(8))
    file.text("llama")
    file.text("a.list")
    file.number(UInt32(9))
    file.number(UInt32(8))
    file.number(UInt64(2))
    file.text("one")
    file.text("two")
    file.text("a.flag")
    file.number(UInt32(7))
    file.number(UInt8(1))
    file.text("a.count")
    file.number(UInt32(4))
    file.number(UInt32(17))
    for index in 0..<tensors {
      file.text("tensor.\(index)")
      file.number(UInt32(1))
      file.number(UInt64(32))
      file.number(UInt32(0))
      file.number(offset(index))
    }
    return file
  }

  mutating func addData(_ count: Int) {
    pad()
    bytes += [UInt8](repeating: 0, count: count)
  }
}

@Suite("GGUF files that lie") struct HostileFileTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func open(_ bytes: [UInt8]) throws -> GGUFFile {
    let path = directory.path("model.gguf")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return try GGUFFile(path: path)
  }

  private func message(_ bytes: [UInt8]) -> String {
    do {
      _ = try open(bytes)
      return ""
    } catch { return "\(error)" }
  }

  @Test("A sound file is read")
  func sound() throws {
    var file = GGUFBytes.sound()
    file.addData(20 * 128)
    let read = try open(file.bytes)
    #expect(read.tensors.count == 20 && read.version == 3)
    #expect(try read.metadata.strings("a.list") == ["one", "two"])
    #expect(try read.metadata.count("a.count") == 17)
    #expect(try read.metadata.bool("a.flag") == true)
    #expect(try read.metadata.string("absent") == nil)
  }

  @Test("Cut short at any byte of the header or in the data it is refused")
  func truncated() throws {
    var file = GGUFBytes.sound()
    let header = file.bytes.count
    file.addData(20 * 128)
    for length in Array(0..<header) + [header + 100, file.bytes.count - 1] {
      let text = message(Array(file.bytes[..<length]))
      #expect(text.contains("model.gguf"), "\(length) bytes: \(text)")
    }
  }

  @Test("With any byte of the header flipped it is refused or read, never worse")
  func flipped() throws {
    var file = GGUFBytes.sound(tensors: 3)
    let header = file.bytes.count
    file.addData(3 * 128)
    for index in 0..<header {
      for mask in [UInt8(0x01), 0x80, 0xff] {
        var bytes = file.bytes
        bytes[index] ^= mask
        if let read = try? open(bytes) {
          // What is read can be used.
          for tensor in read.tensors {
            _ = tensor.firstNonFinite(bytes: 0..<tensor.byteCount)
            _ = tensor.hash(bytes: 0..<tensor.byteCount)
          }
        }
      }
    }
  }

  @Test("Offsets that overlap, leave the file or are not aligned are refused")
  func offsets() {
    var overlapping = GGUFBytes.sound(tensors: 3) { UInt64($0 == 2 ? 160 : 128 * $0) }
    overlapping.addData(3 * 128)
    #expect(message(overlapping.bytes).contains("'tensor.2': it overlaps tensor 'tensor.1'"))
    var beyond = GGUFBytes.sound(tensors: 2) { UInt64($0 == 1 ? 1 << 40 : 0) }
    beyond.addData(256)
    #expect(message(beyond.bytes).contains("'tensor.1'"))
    var huge = GGUFBytes.sound(tensors: 2) { $0 == 1 ? UInt64(Int64.max) & ~31 : 0 }
    huge.addData(256)
    #expect(message(huge.bytes).contains("'tensor.1'"))
    var askew = GGUFBytes.sound(tensors: 2) { UInt64(136 * $0) }
    askew.addData(512)
    #expect(message(askew.bytes).contains("not a multiple of 32"))
  }

  @Test("Counts beyond the file's bytes allocate nothing and are refused")
  func counts() {
    for number in [UInt64.max, 1 << 63, 1 << 40, 1 << 20] {
      var bytes = GGUFBytes.sound(tensors: 1).bytes
      for (index, byte) in withUnsafeBytes(of: number.littleEndian, Array.init).enumerated() {
        bytes[8 + index] = byte
      }
      #expect(message(bytes).contains("the number of tensors"), "\(number)")
      var file = GGUFBytes()
      for byte in "GGUF".utf8 { file.number(byte) }
      file.number(UInt32(3))
      file.number(UInt64(0))
      file.number(UInt64(1))
      file.text("key")
      file.number(UInt32(9))
      file.number(UInt32(8))
      file.number(number)
      file.pad(to: 512)
      #expect(message(file.bytes).contains("'key'"), "\(number)")
    }
  }

  @Test("Names that come twice, unknown types, wrong dimensions and deep lists are named")
  func others() {
    func with(_ change: (inout GGUFBytes) -> Void) -> String {
      var file = GGUFBytes()
      for byte in "GGUF".utf8 { file.number(byte) }
      file.number(UInt32(3))
      change(&file)
      file.addData(1024)
      return message(file.bytes)
    }
    func tensor(
      _ file: inout GGUFBytes, _ name: String, _ dimensions: [UInt64], type: UInt32 = 0
    ) {
      file.text(name)
      file.number(UInt32(dimensions.count))
      dimensions.forEach { file.number($0) }
      file.number(type)
      file.number(UInt64(0))
    }
    func one(_ dimensions: [UInt64], type: UInt32 = 0) -> String {
      with {
        $0.number(UInt64(1))
        $0.number(UInt64(0))
        tensor(&$0, "t", dimensions, type: type)
      }
    }
    #expect(one([32]).isEmpty)
    #expect(one([]).contains("0 dimensions"))
    #expect(one([1, 1, 1, 1, 1]).contains("5 dimensions"))
    #expect(one([0]).contains("a dimension of 0"))
    #expect(one([1 << 32, 1 << 32]).contains("too large"))
    #expect(one([1 << 63]).contains("dimension"))
    #expect(one([33], type: 8).contains("no whole blocks of 32"))
    #expect(one([32], type: 4).contains("type 4"))
    #expect(one([32], type: 999).contains("type 999"))
    #expect(
      with {
        $0.number(UInt64(2))
        $0.number(UInt64(0))
        tensor(&$0, "t", [32])
        tensor(&$0, "t", [32])
      }.contains("'t' is there twice"))
    #expect(
      with {
        $0.number(UInt64(0))
        $0.number(UInt64(2))
        for _ in 0..<2 {
          $0.text("key")
          $0.number(UInt32(0))
          $0.number(UInt8(0))
        }
      }.contains("'key' is there twice"))
    #expect(
      with {
        $0.number(UInt64(0))
        $0.number(UInt64(1))
        $0.text("key")
        $0.number(UInt32(9))
        for _ in 0..<8 {
          $0.number(UInt32(9))
          $0.number(UInt64(1))
        }
      }.contains("deeper than 4"))
    #expect(
      with {
        $0.number(UInt64(0))
        $0.number(UInt64(1))
        $0.text("key")
        $0.number(UInt32(99))
      }.contains("no type 99"))
    #expect(
      message(Array("GGUF".utf8) + [0, 0, 0, 3] + [UInt8](repeating: 0, count: 64))
        .contains("big-endian"))
    #expect(
      message(Array("GGUF".utf8) + [1, 0, 0, 0] + [UInt8](repeating: 0, count: 64))
        .contains("version 1"))
  }

  @Test("A path that is no file, or an empty one, is refused")
  func noFile() {
    #expect(throws: GGUFError.self) { try GGUFFile(path: directory.path) }
    #expect(throws: GGUFError.self) { try GGUFFile(path: directory.path("absent")) }
    #expect(message([]).contains("model.gguf"))
  }
}
