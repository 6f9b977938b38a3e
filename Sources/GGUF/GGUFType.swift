import Tensors

/// How a tensor of a GGUF file is stored: ggml's types by their numbers.
package struct GGUFType: Sendable, Hashable {
  /// The number in the file.
  package let code: UInt32
  /// ggml's name.
  package let name: String
  /// Numbers of a block.
  package let elements: Int
  /// Bytes of a block.
  package let bytes: Int

  /// The format that the program computes with, where it does.
  package var format: WeightFormat? {
    switch name {
    case "F32": .numbers(.float32)
    case "F16": .numbers(.float16)
    case "BF16": .numbers(.bfloat16)
    default: BlockFormat.named(name).map { .blocks($0) }
    }
  }

  /// The type of that number; nil where ggml has none, or has removed it.
  init?(code: UInt32) {
    guard let row = Self.table.first(where: { $0.code == code }) else { return nil }
    self.code = code
    (name, elements, bytes) = (row.name, row.elements, row.bytes)
  }

  /// A type that is written, by ggml's name.
  package static func named(_ name: String) -> GGUFType? {
    table.first { $0.name == name }.flatMap { GGUFType(code: $0.code) }
  }

  /// All types that may stand in a file (ggml.h, ggml-common.h).
  private static let table: [(code: UInt32, name: String, elements: Int, bytes: Int)] = [
    (0, "F32", 1, 4), (1, "F16", 1, 2), (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22), (7, "Q5_1", 32, 24), (8, "Q8_0", 32, 34), (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110), (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176), (14, "Q6_K", 256, 210),
    (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50), (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136), (24, "I8", 1, 1), (25, "I16", 1, 2),
    (26, "I32", 1, 4), (27, "I64", 1, 8), (28, "F64", 1, 8), (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2), (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18),
  ]

  /// The names of those that the program computes with.
  package static var readable: [String] {
    table.compactMap { GGUFType(code: $0.code) }.filter { $0.format != nil }.map(\.name)
  }
}
