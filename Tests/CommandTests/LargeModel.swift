import Foundation
import JSON
import Safetensors
import TestSupport
import Testing

/// A model of some 40 MB made after a tiny one of the fixtures: large enough that a second copy shows
/// in a node's memory.
struct LargeModel {
  enum Element: String {
    case float32 = "F32"
    case bfloat16 = "BF16"
  }

  let path: String
  /// Bytes of its matrices, and numbers in them.
  private(set) var matrixBytes = 0
  private(set) var matrixElements = 0

  /// Factor by which width grows.
  private static let factor = 24

  /// - Parameters:
  ///   - family: `llama` or `gpt2`.
  ///   - fileCount: shards.
  init(
    _ family: String, _ element: Element = .float32, fileCount: Int = 1, at path: String
  ) throws {
    self.path = path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let small = fixturePath("model/\(family)")
    let text = try Data(contentsOf: URL(fileURLWithPath: small + "/config.json"))
    var fields = try JSONValue(parsing: text).object ?? [:]
    for key in ["hidden_size", "intermediate_size", "head_dim", "n_embd"] {
      if let value = fields[key]?.int { fields[key] = .int(value * Self.factor) }
    }
    try Data(JSONValue.object(fields).text().utf8)
      .write(to: URL(fileURLWithPath: path + "/config.json"))

    // Small numbers of both signs, the same block over and over: a digest of it is as good as any.
    var state: UInt32 = 12345
    var block = Data()
    for _ in 0..<65_536 {
      state = state &* 1_664_525 &+ 1_013_904_223
      let bits = (Float(Int32(bitPattern: state)) * 0x1p-36).bitPattern
      switch element {
      case .float32: withUnsafeBytes(of: bits.littleEndian) { block.append(contentsOf: $0) }
      case .bfloat16:
        withUnsafeBytes(of: UInt16(bits >> 16).littleEndian) { block.append(contentsOf: $0) }
      }
    }
    let tensors = try SafetensorsFile(path: small + "/model.safetensors").tensors
    var map: [String: JSONValue] = [:]
    for number in 0..<fileCount {
      let name =
        fileCount == 1
        ? "model.safetensors" : "model-0000\(number + 1)-of-0000\(fileCount).safetensors"
      var header: [String: JSONValue] = [:]
      var offset = 0
      for (index, tensor) in tensors.enumerated() where index % fileCount == number {
        // What is no width: the vocabulary, learned positions.
        let shape = tensor.shape.enumerated().map { axis, size in
          axis == 0
            && ["wte", "wpe", "embed_tokens", "lm_head"].contains { tensor.name.contains($0) }
            ? size : size * Self.factor
        }
        let count = shape.reduce(1, *)
        let bytes = count * (element == .float32 ? 4 : 2)
        header[tensor.name] = [
          "dtype": .string(element.rawValue), "shape": .array(shape.map { .int($0) }),
          "data_offsets": [.int(offset), .int(offset + bytes)],
        ]
        map[tensor.name] = .string(name)
        if shape.count == 2 {
          matrixBytes += bytes
          matrixElements += count
        }
        offset += bytes
      }
      let head = Data(JSONValue.object(header).text().utf8)
      let file = "\(path)/\(name)"
      var start = Data()
      withUnsafeBytes(of: UInt64(head.count).littleEndian) { start.append(contentsOf: $0) }
      _ = FileManager.default.createFile(atPath: file, contents: start + head)
      let handle = try #require(FileHandle(forWritingAtPath: file))
      try handle.seekToEnd()
      // In small pieces, as what downloads files does. Of one large piece the system may make pages of
      // 2 MiB, each of which is in memory with whatever lies beside a table of some rows.
      let piece = 1 << 16
      var left = offset
      while left > 0 {
        let place = (offset - left) % block.count
        let count = min(left, piece, block.count - place)
        try handle.write(contentsOf: block[place..<(place + count)])
        left -= count
      }
      try handle.close()
    }
    if fileCount > 1 {
      try Data(JSONValue.object(["metadata": [:], "weight_map": .object(map)]).text().utf8)
        .write(to: URL(fileURLWithPath: path + "/model.safetensors.index.json"))
    }
  }
}
