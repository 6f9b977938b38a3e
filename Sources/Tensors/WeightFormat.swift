import CKernels

/// How the numbers of a stored weight are written: one by one, or in blocks with a scale.
public enum WeightFormat: Sendable, Hashable {
  /// One number after the other.
  case numbers(ElementType)
  /// Blocks of numbers with their scales among them.
  case blocks(BlockFormat)
  /// Codes of four bits, whose scales lie apart: bitsandbytes' NF4 and FP4.
  case codes(name: String)
  /// Bytes, with a scale a row that lies apart: bitsandbytes' LLM.int8.
  case int8

  /// What people call it: `BF16`, `Q4_K`, `NF4`.
  public var name: String {
    switch self {
    case .numbers(let type): type.rawValue
    case .blocks(let format): format.name
    case .codes(let name): name
    case .int8: "LLM.int8"
    }
  }

  /// The type of the numbers where they are stored one by one.
  public var elementType: ElementType? {
    if case .numbers(let type) = self { type } else { nil }
  }

  /// Whether it takes fewer bits than a training of these weights needs.
  public var isQuantized: Bool { elementType == nil }

  /// The kernels' name for it.
  package var code: ck_type {
    switch self {
    case .numbers(.float32): ck_f32
    case .numbers(.float16): ck_f16
    case .numbers(.bfloat16): ck_bf16
    case .blocks(let format): format.code
    case .codes: ck_codes4
    case .int8: ck_int8
    }
  }
}

/// Blocks of numbers as ggml stores them: integers of few bits, and scales in f16.
///
/// `stored_body.h` gives each layout.
public struct BlockFormat: Sendable, Hashable {
  /// ggml's name: `Q4_K`.
  public let name: String
  /// Numbers of a block.
  public let elements: Int
  /// Bytes of a block.
  public let bytes: Int
  /// Where the scales in f16 lie in a block, which are all that can be infinite or not a number.
  package let scales: [Int]
  let code: ck_type

  private init(
    _ name: String, _ code: ck_type, _ elements: Int, _ bytes: Int, scales: [Int]
  ) {
    (self.name, self.code, self.elements, self.bytes) = (name, code, elements, bytes)
    self.scales = scales
  }

  /// All of them.
  public static let all = [
    BlockFormat("Q4_0", ck_q4_0, 32, 18, scales: [0]),
    BlockFormat("Q4_1", ck_q4_1, 32, 20, scales: [0, 2]),
    BlockFormat("Q5_0", ck_q5_0, 32, 22, scales: [0]),
    BlockFormat("Q5_1", ck_q5_1, 32, 24, scales: [0, 2]),
    q8_0,
    BlockFormat("Q2_K", ck_q2_k, 256, 84, scales: [80, 82]),
    BlockFormat("Q3_K", ck_q3_k, 256, 110, scales: [108]),
    BlockFormat("Q4_K", ck_q4_k, 256, 144, scales: [0, 2]),
    BlockFormat("Q5_K", ck_q5_k, 256, 176, scales: [0, 2]),
    BlockFormat("Q6_K", ck_q6_k, 256, 210, scales: [208]),
    BlockFormat("IQ4_NL", ck_iq4_nl, 32, 18, scales: [0]),
    BlockFormat("IQ4_XS", ck_iq4_xs, 256, 136, scales: [0]),
  ]

  /// 32 bytes and a scale.
  public static let q8_0 = BlockFormat("Q8_0", ck_q8_0, 32, 34, scales: [0])

  /// The format of that name.
  public static func named(_ name: String) -> BlockFormat? { all.first { $0.name == name } }

  /// Bytes of so many numbers, a multiple of `elements`.
  public func byteCount(elements count: Int) -> Int { count / elements * bytes }

  /// A row in blocks of Q8_0; as many numbers as whole blocks have.
  public static func quantizedQ8_0(_ row: MatrixView) -> [UInt8] {
    precondition(row.rows == 1 && row.columns % q8_0.elements == 0, "a row of \(row.columns)")
    let count = q8_0.byteCount(elements: row.columns)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let base = buffer.baseAddress { ck_quantize_q8_0(base, row.base, Int64(row.columns)) }
      initialized = count
    }
  }

  /// The first block whose scales are infinite or not numbers, of blocks end to end.
  public func firstNonFinite(_ blocks: UnsafeRawPointer, count: Int) -> Int? {
    (0..<count).first { block in
      scales.contains { offset in
        blocks.loadUnaligned(fromByteOffset: block * bytes + offset, as: UInt16.self) & 0x7c00
          == 0x7c00
      }
    }
  }

  /// Two formats are one where ggml gives them one name.
  public static func == (left: BlockFormat, right: BlockFormat) -> Bool { left.name == right.name }

  /// By the name.
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
