import Foundation
import JSON
import Kernels
import Model
import PEFT
import Safetensors
import Tensors
import TestSupport
import Testing

@Suite("Bases that bitsandbytes quantised") struct BitsAndBytesTests {
  static let names = ["nf4", "nf4-nested", "fp4-stored-bf16", "int8", "nf4-gpt2"]

  private static func path(_ name: String) -> String { Fixtures.path("bnb/\(name)") }

  @Test("Logits equal those of a model with bitsandbytes' numbers", arguments: names)
  func logits(_ name: String) throws {
    let decoder = try Decoder(directory: Self.path(name))
    let golden = try Fixtures.tensors("bnb/\(name)/golden.safetensors")
    let expected = try #require(golden["logits"])
    let logits = try AdaptedBase.logits(of: decoder, Compute(threads: 2))
    let error = relativeError(logits.map(Double.init), expected.values.map(Double.init))
    #expect(error <= 1e-5, "logits are off by \(error) of their norm")
    // The first projection, number by number.
    let first = try #require(golden.keys.first { $0.hasPrefix("first.") })
    let parameter = try #require(
      decoder.parameters.first { "first." + $0.name == first })
    let numbers = OwnedMatrix(
      rows: parameter.matrix.outputSize, columns: parameter.matrix.inputSize)
    parameter.matrix.copyFloats(into: numbers.view)
    #expect(numbers.view.elements == golden[first]?.values)
    #expect(parameter.storedFormat.isQuantized)
    #expect(decoder.parameters.reduce(0) { $0 + $1.storedBytes } < 200_000)
  }

  @Test("Standard fine-tuning is refused", arguments: names)
  func refusesFull(_ name: String) throws {
    let method = try PEFTMethods.make("full", options: MethodOptions([:], source: "the test"))
    var plan = ParameterArenaPlan()
    let decoder = try Decoder(directory: Self.path(name))
    #expect(throws: PEFTError.self) { try method.declare(in: &plan, for: decoder) }
  }

  /// A copy of a fixture with its configuration or tensors changed.
  private func changed(
    _ name: String, configuration: (inout [String: JSONValue]) -> Void = { _ in },
    header: (String) -> String = { $0 }
  ) throws -> String {
    let directory = try TemporaryDirectory()
    for file in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(
        atPath: Self.path(name) + "/" + file, toPath: directory.path(file))
    }
    let file = directory.path("config.json")
    var members =
      try JSONValue(parsing: Data(contentsOf: URL(fileURLWithPath: file))).object ?? [:]
    configuration(&members)
    try JSONValue.object(members).text().write(toFile: file, atomically: true, encoding: .utf8)
    let weights = URL(fileURLWithPath: directory.path("model.safetensors"))
    var bytes = [UInt8](try Data(contentsOf: weights))
    let length = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
    let old = String(decoding: bytes[8..<(8 + length)], as: UTF8.self)
    let new = header(old)
    precondition(new.utf8.count == old.utf8.count)
    bytes.replaceSubrange(8..<(8 + length), with: Array(new.utf8))
    try Data(bytes).write(to: weights)
    do {
      _ = try Decoder(directory: directory.path)
      return ""
    } catch { return "\(error)" }
  }

  @Test("Layouts that are not read are refused by name, with the way out")
  func others() throws {
    for method in ["gptq", "awq", "compressed-tensors", "hqq"] {
      let message = try changed("nf4") {
        $0["quantization_config"] = ["quant_method": .string(method)]
      }
      #expect(message.contains("'\(method)'") && message.contains("--quantize-base"), "\(message)")
    }
    #expect(
      try changed("nf4") { $0["quantization_config"] = nil }.contains("the configuration asks"),
      "packed numbers have another shape")
    #expect(try changed("nf4").isEmpty)
  }

  @Test("What does not fit its matrix is refused by name")
  func damaged() throws {
    let absmax = try changed(
      "nf4",
      header: {
        $0.replacingOccurrences(
          of: "absmax\":{\"dtype\":\"F32\"", with: "absmax\":{\"dtype\":\"I32\"")
      })
    #expect(absmax.contains(".absmax"), "\(absmax)")
    let scales = try changed(
      "int8",
      header: {
        $0.replacingOccurrences(of: "SCB\":{\"dtype\":\"F32\"", with: "SCB\":{\"dtype\":\"I32\"")
      })
    #expect(scales.contains(".SCB"), "\(scales)")
  }
}
