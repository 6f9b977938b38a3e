import Foundation
import Safetensors
import TestSupport
import Testing

@Suite("Reading safetensors")
struct SafetensorsFileTests {
  @Test("A file of the reference library is read: types, shapes, values, metadata")
  func reads() throws {
    let file = try SafetensorsFile(path: fixture("safetensors/mixed.safetensors"))
    #expect(file.metadata == ["format": "pt"])
    #expect(
      file.names == ["empty", "q\"\\\n\u{1}\u{e9}", "scalar", "z.f32", "b.bf16", "a.f16"])
    let matrix = try file.tensor(named: "z.f32")
    #expect(matrix.shape == [2, 3] && matrix.elementType == .float32 && matrix.byteCount == 24)
    #expect(try matrix.floats() == [1.5, -2, 3.25, 0, -0.0, Float(1e-40 as Double)])
    #expect(try file.tensor(named: "b.bf16").floats() == [1, -3.5, 0x1p-126, 0x1p-133])
    #expect(try file.tensor(named: "a.f16").floats() == [0.5, -65504, 0x1p-24])
    #expect(try file.tensor(named: "scalar").shape.isEmpty)
    #expect(try file.tensor(named: "scalar").floats() == [7])
    #expect(try file.tensor(named: "empty").floats().isEmpty)
    #expect(try file.tensor(named: "q\"\\\n\u{1}\u{e9}").floats() == [1])
    // The same text in another Unicode form is another name.
    #expect(!file.contains("q\"\\\n\u{1}e\u{301}"))
  }

  @Test("A tensor goes into a view with gaps between its rows, and nowhere else")
  func copiesIntoView() throws {
    let tensor = try SafetensorsFile(path: fixture("safetensors/mixed.safetensors"))
      .tensor(named: "a.f16")
    let target = TestMatrix(3, 1, rowStride: 4)
    try tensor.copyValues(into: target.view)
    #expect(target.view.elements == [0.5, -65504, 0x1p-24])
    #expect(target.gapsAreUntouched)
    let wrong = TestMatrix(2, 2)
    #expect(throws: SafetensorsError.self) { try tensor.copyValues(into: wrong.view) }
  }

  @Test("A weight is handed out in place, in its stored type, and only in its own shape")
  func weight() throws {
    let file = try SafetensorsFile(path: fixture("safetensors/mixed.safetensors"))
    let tensor = try file.tensor(named: "z.f32")
    let weight = try tensor.weight(inputSize: 3, outputSize: 2)
    #expect(weight.elementType == .float32 && weight.inputSize == 3 && weight.outputSize == 2)
    #expect(weight.storage.loadUnaligned(as: Float.self) == 1.5)
    #expect(try tensor.weight(inputSize: 2, outputSize: 3, layout: .inputMajor).outputSize == 3)
    #expect(
      throws: SafetensorsError.wrongShape(
        path: file.path, tensor: "z.f32", shape: [2, 3], expected: [3, 2])
    ) { try tensor.weight(inputSize: 2, outputSize: 3) }
  }

  @Test("The first infinity or NaN is found in each type")
  func nonFinite() throws {
    let file = try SafetensorsFile(path: fixture("safetensors/nonfinite.safetensors"))
    #expect(try file.tensor(named: "fine").firstNonFinite() == nil)
    #expect(try file.tensor(named: "nan.f32").firstNonFinite() == 1)
    #expect(try file.tensor(named: "inf.f16").firstNonFinite() == 2)
    #expect(try file.tensor(named: "nan.bf16").firstNonFinite() == 0)
  }

  @Test("A tensor of integers may stand in a file; asking for its numbers names its type")
  func integers() throws {
    let file = try SafetensorsFile(path: fixture("safetensors/nonfinite.safetensors"))
    let tensor = try file.tensor(named: "integers")
    #expect(tensor.storedType == .i64 && tensor.elementType == nil)
    #expect(
      throws: SafetensorsError.unsupportedType(path: file.path, tensor: "integers", type: "I64")
    ) { try tensor.floats() }
  }

  @Test("A missing tensor is named, with those that end alike")
  func missing() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: #"{"transformer.h.0.ln_1.weight":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#,
      dataBytes: 4)
    let file = try SafetensorsFile(path: path)
    #expect(
      throws: SafetensorsError.missingTensor(
        path: path, tensor: "h.0.ln_1.weight", similar: ["transformer.h.0.ln_1.weight"])
    ) { try file.tensor(named: "h.0.ln_1.weight") }
  }

  @Test("Every type of the format is tolerated")
  func allTypes() throws {
    let scratch = try Scratch()
    for type in StoredType.allCases {
      let bytes = type.bitCount
      let path = try scratch.file(
        header:
          #"{"t":{"dtype":"\#(type.rawValue)","shape":[8],"data_offsets":[0,\#(bytes)]}}"#,
        dataBytes: bytes)
      #expect(try SafetensorsFile(path: path).tensor(named: "t").storedType == type)
    }
  }
}
