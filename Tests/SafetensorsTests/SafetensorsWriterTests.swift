import Diagnostics
import Foundation
import Safetensors
import Tensors
import TestSupport
import Testing

@Suite("Writing safetensors")
struct SafetensorsWriterTests {
  @Test("A file written again is the reference library's, byte for byte")
  func identical() throws {
    let scratch = try Scratch()
    let original = fixture("safetensors/mixed.safetensors")
    let file = try SafetensorsFile(path: original)
    for copiesBytes in [true, false] {
      let path = scratch.path + "/copy.safetensors"
      var writer = try SafetensorsWriter(
        path: path,
        tensors: try file.tensors.reversed().map {
          .init($0.name, try $0.floatType(), shape: $0.shape)
        })
      for tensor in file.tensors {
        if copiesBytes {
          try writer.write(tensor.name, copying: tensor)
        } else {
          let values = TestMatrix(1, max(tensor.elementCount, 1))
          try tensor.copyValues(into: values.view.columns(0..<tensor.elementCount))
          try writer.write(tensor.name, from: values.view.columns(0..<tensor.elementCount))
        }
      }
      try writer.finish()
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: path))
          == Data(contentsOf: URL(fileURLWithPath: original)))
    }
  }

  @Test(
    "A tensor longer than a chunk, from a view with gaps, comes back",
    arguments: ElementType.allCases)
  func long(type: ElementType) throws {
    let scratch = try Scratch()
    let path = scratch.path + "/long.safetensors"
    // Whole numbers up to 127 are exact in every type.
    let rows = 3
    let columns = SafetensorsWriter.chunkElementCount / 2 + 5
    let source = TestMatrix(rows, columns, rowStride: columns + 3)
    for row in 0..<rows {
      for column in 0..<columns { source.view[row, column] = Float((row * 31 + column) % 128) }
    }
    var writer = try SafetensorsWriter(
      path: path, tensors: [.init("t", type, shape: [rows, columns])])
    try writer.write("t", from: source.view)
    try writer.finish()
    let back = TestMatrix(rows, columns)
    try SafetensorsFile(path: path).tensor(named: "t").copyValues(into: back.view)
    #expect(back.view.elements == source.view.elements)
  }

  @Test("A writer that is given up leaves nothing, and the old file as it was")
  func abandoned() throws {
    let scratch = try Scratch()
    let path = try scratch.file([1, 2, 3])
    #expect(throws: SafetensorsError.unwrittenTensor(path: path, tensor: "t")) {
      let writer = try SafetensorsWriter(path: path, tensors: [.init("t", .float32, shape: [1])])
      try writer.finish()
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["x.safetensors"])
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2, 3]))
  }

  @Test("A directory that is not there is an output error")
  func unwritable() throws {
    let scratch = try Scratch()
    do throws(SafetensorsError) {
      _ = try SafetensorsWriter(path: scratch.path + "/none/x", tensors: [])
      Issue.record("it was created")
    } catch {
      #expect(error.errorClass == .output)
    }
  }

  @Test("Names declared twice and elements of another number are refused")
  func misuse() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/x"
    #expect(throws: SafetensorsError.duplicateTensor(path: path, tensor: "a")) {
      _ = try SafetensorsWriter(
        path: path, tensors: [.init("a", .float32, shape: []), .init("a", .float16, shape: [])])
    }
    #expect(throws: SafetensorsError.self) {
      var writer = try SafetensorsWriter(path: path, tensors: [.init("a", .float32, shape: [2])])
      try writer.write("a", from: TestMatrix(1, 1).view)
    }
  }

  @Test("A digest in the header finds every flipped bit but those in its own key")
  func seal() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/x.safetensors"
    let source = TestMatrix(2, 3)
    for row in 0..<2 { for column in 0..<3 { source.view[row, column] = Float(row * 3 + column) } }
    var writer = try SafetensorsWriter(
      path: path, tensors: [.init("t", .float32, shape: [2, 3])], isSealed: true)
    try writer.write("t", from: source.view)
    try writer.finish()
    let file = try SafetensorsFile(path: path)
    #expect(file.isSealed)
    #expect(file.metadata["format"] == "pt")
    try file.checkSeal()

    let whole = try bytes(of: path)
    let key = Array("swift_peft_train.digest".utf8)
    let keyStart = try #require(whole.indices.first { whole[$0...].starts(with: key) })
    var found = 0
    for place in whole.indices where !(keyStart..<(keyStart + key.count)).contains(place) {
      var damaged = whole
      damaged[place] ^= 1 << UInt8(place % 8)
      try write(damaged, to: path)
      #expect(throws: SafetensorsError.self, "byte \(place)") {
        try SafetensorsFile(path: path).checkSeal()
      }
      found += 1
    }
    #expect(found == whole.count - key.count)
  }

  @Test("A file of another program has no digest and passes")
  func noSeal() throws {
    let file = try SafetensorsFile(path: fixture("safetensors/mixed.safetensors"))
    #expect(!file.isSealed)
    try file.checkSeal()
  }
}
