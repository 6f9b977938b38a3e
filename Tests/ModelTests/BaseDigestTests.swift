import Foundation
import Kernels
import Model
import TestSupport
import Testing

/// What a base is, by all of its bytes.
@Suite("Base digest") struct BaseDigestTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A base with tensors of more than 1,024 words, so that samples are not all of it.
  private static let demo = fixturePath("../../Sources/swift-peft-train/Demo")

  private func copy(_ name: String) throws -> String {
    let path = directory.path(name)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for file in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(
        atPath: "\(Self.demo)/\(file)", toPath: "\(path)/\(file)")
    }
    return path
  }

  private func open(_ path: String) throws -> Decoder {
    try Decoder(directory: path, finiteCheck: (0, 0))
  }

  @Test("Every flipped bit changes the fingerprint, and names its tensor; samples miss most")
  func flips() throws {
    let sound = try open(Self.demo)
    let path = try copy("base")
    let content = try bytes(of: path + "/model.safetensors")
    let header = content.prefix(8).enumerated().reduce(8) {
      $0 + Int($1.element) << (8 * $1.offset)
    }
    let random = SeededRandom(17).generator()
    var missed = 0
    for flip in 0..<60 {
      let place = header + Int(random.integer(UInt64(flip), below: UInt64(content.count - header)))
      var changed = content
      changed[place] ^= 1 << UInt8(flip % 8)
      try write(changed, to: path + "/model.safetensors")
      let decoder = try open(path)
      let differing = zip(sound.digest.tensors, decoder.digest.tensors).filter { $0 != $1 }
      #expect(differing.count == 1, "byte \(place)")
      #expect(decoder.fingerprint != sound.fingerprint, "byte \(place)")
      missed += decoder.sampledFingerprint == sound.sampledFingerprint ? 1 : 0
    }
    #expect(missed > 30, "the samples of earlier versions missed \(missed) of 60")
  }

  @Test("The fingerprint does not depend on the files that the tensors lie in, or on threads")
  func files() throws {
    let one = try open(fixturePath("model/llama"))
    #expect(one.fingerprint.hasPrefix("v2:"))
    #expect(one.fingerprint.count == 19)
    // The same tensors in a file of another name, which an index leads to.
    let (source, shard) = (fixturePath("model/llama"), "model-00001-of-00001.safetensors")
    let copy = directory.path("renamed")
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    for (from, to) in [("config.json", "config.json"), ("model.safetensors", shard)] {
      try FileManager.default.copyItem(atPath: "\(source)/\(from)", toPath: "\(copy)/\(to)")
    }
    let map = one.digest.tensors.map { "\"\($0.name)\": \"\(shard)\"" }.joined(separator: ",")
    try Data("{\"metadata\": {}, \"weight_map\": {\(map)}}".utf8).write(
      to: URL(fileURLWithPath: copy + "/model.safetensors.index.json"))
    #expect(try open(copy).fingerprint == one.fingerprint)
    #expect(try open(fixturePath("model/llama-tied")).fingerprint != one.fingerprint)
    let compute = Compute(threads: 2)
    let contents = try open(Self.demo).contents
    let hashes = compute.mapBlocks(contents.blockCount) { contents.scan($0).hash }
    #expect(contents.digest(hashes: hashes).text == (try open(Self.demo)).fingerprint)
    #expect(BaseDigest.isSampled("0123456789abcdef") && !BaseDigest.isSampled(one.fingerprint))
  }

  @Test("A block says where a number is not finite, by its place in the tensor")
  func nonFinite() throws {
    let path = try copy("base")
    var content = try bytes(of: path + "/model.safetensors")
    // The last number of the file, bf16: all ones is not a number.
    content[content.count - 1] = 0xff
    content[content.count - 2] = 0xff
    try write(content, to: path + "/model.safetensors")
    let contents = try open(path).contents
    let errors = (0..<contents.blockCount).compactMap {
      contents.error(contents.scan($0), block: $0)
    }
    #expect(errors.count == 1)
    let expected = try #require(throws: ModelError.self) { try Decoder(directory: path) }
    #expect(errors.first?.description == expected.description)
  }
}
