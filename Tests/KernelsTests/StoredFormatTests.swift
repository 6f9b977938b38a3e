import Foundation
import Hashing
import JSON
import Kernels
import Tensors
import TestSupport
import Testing

/// What gguf and bitsandbytes make of random blocks, by `Tests/Fixtures/formats/generate.py`.
@Suite("Stored formats") struct StoredFormatTests {
  /// Bytes of SplitMix64.
  static func bytes(_ seed: Int, _ count: Int) -> [UInt8] {
    var state = UInt64(seed)
    var result: [UInt8] = []
    result.reserveCapacity(count + 7)
    while result.count < count {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      z ^= z >> 31
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        result.append(UInt8(truncatingIfNeeded: z >> shift))
      }
    }
    return Array(result[..<count])
  }

  /// Floats from 0 up to 1.
  static func units(_ seed: Int, _ count: Int) -> [Float] {
    bytes(seed, 8 * count).withUnsafeBytes { bytes in
      (0..<count).map {
        Float(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) >> 40) * 0x1p-24
      }
    }
  }

  /// The digest of all numbers of a weight, read by the kernels of an instruction set.
  ///
  /// - Parameter zeros: whether the sign of a zero counts for nothing.
  static func digest(
    _ weight: WeightMatrix, on set: InstructionSet, zeros: Bool
  ) throws -> String {
    let compute = try Compute(threads: 2, instructionSet: set)
    let values = TestMatrix(weight.outputSize, weight.inputSize)
    let rows = IndexBuffer(Array(0..<weight.outputSize))
    Embedding.forward(rows.all, table: weight, into: values.view, on: compute)
    let elements = values.view.base
    for index in 0..<values.view.count {
      let value = elements[index]
      if value.isNaN { elements[index] = Float(bitPattern: 0x7fc0_0000) }
      if zeros, value == 0 { elements[index] = 0 }
    }
    return XXH64.text(XXH64.hash(values.view))
  }

  static let cases: JSONValue? = try? Fixtures.json("formats/formats.json")

  /// A weight over bytes that stay where they are.
  private static func check(
    _ weight: WeightMatrix, _ expected: String, _ what: String, zeros: Bool = true
  ) throws {
    for set in InstructionSet.available {
      #expect(try digest(weight, on: set, zeros: zeros) == expected, "\(what) on \(set)")
    }
  }

  @Test("4,096 random blocks of each of ggml's formats decode to gguf's bits")
  func blocks() throws {
    let cases = try #require(Self.cases?["ggml"]?.array)
    #expect(cases.count == BlockFormat.all.count + 2)
    for entry in cases {
      let name = try #require(entry["name"]?.string)
      let (seed, numbers) = (try #require(entry["seed"]?.int), try #require(entry["numbers"]?.int))
      let count = 4096 * (try #require(entry["bytes"]?.int))
      let format =
        switch name {
        case "F16": WeightFormat.numbers(.float16)
        case "BF16": WeightFormat.numbers(.bfloat16)
        default: WeightFormat.blocks(try #require(BlockFormat.named(name)))
        }
      // From an odd address, and each format in rows of some blocks.
      let bytes = [0] + Self.bytes(seed, count)
      try bytes.withUnsafeBytes { memory in
        let start = try #require(memory.baseAddress)
        let weight = WeightMatrix(
          storage: start + 1, format: format, inputSize: 4 * numbers, outputSize: 1024)
        #expect(weight.byteCount == count)
        try Self.check(weight, try #require(entry["xxh64"]?.string), name, zeros: false)
      }
    }
  }

  @Test("NF4 and FP4, nested or not, decode to bitsandbytes' bits")
  func codes() throws {
    for entry in try #require(Self.cases?["codes4"]?.array) {
      let kind = try #require(entry["kind"]?.string)
      let seed = try #require(entry["seed"]?.int)
      let shape = try #require(entry["shape"]?.array).compactMap(\.int)
      let isNested = entry["nested"] == .bool(true)
      let type: ElementType =
        switch entry["dtype"]?.string {
        case "bfloat16": .bfloat16
        case "float16": .float16
        default: .float32
        }
      let count = shape[0] * shape[1]
      let blocks = (count + 63) / 64
      let packed = Self.bytes(seed, (count + 1) / 2)
      let scales = Self.units(seed + (isNested ? 2 : 1), isNested ? (blocks + 255) / 256 : blocks)
      let nestedCodes = Self.bytes(seed + 1, blocks)
      let nestedMap = Self.units(seed + 3, 256).map { $0 * 2 - 1 }
      let map = try #require(entry["map"]?.array).compactMap { $0.double.map { Float($0) } }
      try packed.withUnsafeBytes { packed in
        try scales.withUnsafeBytes { scales in
          try nestedCodes.withUnsafeBytes { nested in
            let base = try #require(scales.baseAddress)
            let codes = StoredCodes(
              name: kind.uppercased(), map: map, blockSize: 64,
              scales: isNested
                ? .nested(
                  codes: try #require(nested.baseAddress), map: nestedMap, scales: base,
                  blockSize: 256, offset: 0.3125)
                : .plain(base), columns: shape[1], rounding: type)
            let weight = WeightMatrix(
              storage: try #require(packed.baseAddress), codes: codes, inputSize: shape[1],
              outputSize: shape[0])
            try Self.check(
              weight, try #require(entry["xxh64"]?.string), "\(kind) \(shape) \(type)")
            try sameProducts(weight)
          }
        }
      }
    }
  }

  @Test("LLM.int8 decodes to bitsandbytes' bits")
  func int8() throws {
    for entry in try #require(Self.cases?["int8"]?.array) {
      let seed = try #require(entry["seed"]?.int)
      let shape = try #require(entry["shape"]?.array).compactMap(\.int)
      try Self.bytes(seed, shape[0] * shape[1]).withUnsafeBytes { bytes in
        try Self.units(seed + 1, shape[0]).withUnsafeBytes { scales in
          let codes = StoredCodes(
            rowScales: try #require(scales.baseAddress), columns: shape[1])
          let weight = WeightMatrix(
            storage: try #require(bytes.baseAddress), codes: codes, inputSize: shape[1],
            outputSize: shape[0])
          try Self.check(weight, try #require(entry["xxh64"]?.string), "LLM.int8 \(shape)")
          try sameProducts(weight)
        }
      }
    }
  }

  /// In both directions and both precisions, on every instruction set, products with the weight
  /// have the bits of products with its numbers in f32.
  private func sameProducts(_ weight: WeightMatrix) throws {
    let (i, o) = (weight.inputSize, weight.outputSize)
    let numbers = TestMatrix(o, i)
    weight.copyFloats(into: numbers.view)
    let plain = WeightMatrix(numbers.view)
    let random = SeededRandom(17)
    let (x, dy) = (random.matrix(9, i), random.matrix(9, o))
    for set in InstructionSet.available {
      for arithmetic in [Arithmetic.float32, .bfloat16] {
        let compute = try Compute(threads: 2, instructionSet: set)
        let results = [weight, plain].map { weight in
          let (y, dx) = (TestMatrix(9, o), TestMatrix(9, i))
          Linear.forward(
            x.view, weight: weight, bias: nil, into: y.view, arithmetic: arithmetic, on: compute)
          Linear.backwardInput(
            dy.view, weight: weight, into: dx.view, arithmetic: arithmetic, on: compute)
          return [y.bits, dx.bits]
        }
        #expect(results[0] == results[1], "\(weight.format.name) \(arithmetic) on \(set)")
      }
    }
  }

  @Test(
    "Products with blocks have the bits of products with their numbers", arguments: [0, 16])
  func products(interleavedHead: Int) throws {
    for format in BlockFormat.all {
      let (i, o) = (768, 176)
      let count = format.byteCount(elements: i * o)
      var bytes = Self.bytes(77, count)
      // Scales from 2^-4 up.
      for block in 0..<(count / format.bytes) {
        for offset in format.scales {
          let at = block * format.bytes + offset + 1
          bytes[at] = bytes[at] & 0x83 | 0x2c
        }
      }
      try bytes.withUnsafeBytes { memory in
        try sameProducts(
          WeightMatrix(
            storage: try #require(memory.baseAddress), format: .blocks(format), inputSize: i,
            outputSize: o, interleavedHead: interleavedHead))
      }
    }
  }

  @Test("Rows of heads whose halves are stored by turns are counted as Hugging Face's")
  func interleavedRows() throws {
    let stored: [Float] = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    stored.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      let weight = WeightMatrix(
        storage: base, format: .numbers(.float32), inputSize: 1, outputSize: 12,
        interleavedHead: 6)
      let values = TestMatrix(12, 1)
      weight.copyFloats(into: values.view)
      #expect(values.view.elements == (0..<12).map { Float($0) })
    }
  }

  @Test("Q8_0 and NF4 are quantised to gguf's and bitsandbytes' bits, however rows are shared")
  func quantized() throws {
    let entry = try #require(Self.cases?["quantized"])
    let count = 64 * 1024
    let source = TestMatrix(64, 1024)
    source.view.assign(Self.units(try #require(entry["seed"]?.int), count).map { $0 * 2 - 1 })
    let plain = WeightMatrix(source.view)
    let compute = Compute(threads: 2)
    for format in BaseQuantization.allCases {
      let bytes = try SharedBytes(
        byteCount: 64 + WeightQuantization.byteCount(plain, as: format))
      for rows in [0..<21, 21..<64] {
        WeightQuantization.quantize(
          plain, as: format, rows: rows, into: bytes, at: 64, on: compute)
      }
      let (weight, table) = WeightQuantization.quantized(plain, as: format, in: bytes, at: 64)
      let expected = try #require(entry[format.rawValue]?.string)
      switch format {
      case .q8_0:
        let blocks = UnsafeRawBufferPointer(start: bytes.base + 64, count: weight.byteCount)
        #expect(XXH64.text(XXH64.hash(blocks)) == expected)
        let again = (0..<64).flatMap { BlockFormat.quantizedQ8_0(source.view.rows($0..<($0 + 1))) }
        #expect(again.elementsEqual(blocks))
      case .nf4:
        #expect(table != nil)
        #expect(try Self.digest(weight, on: .scalar, zeros: true) == expected)
      }
      withExtendedLifetime((bytes, table)) {}
    }
  }

  @Test("The first block whose scale is not finite is found")
  func nonFinite() throws {
    for format in BlockFormat.all {
      for offset in format.scales {
        var bytes = [UInt8](repeating: 0, count: 5 * format.bytes)
        bytes[3 * format.bytes + offset + 1] = 0x7c
        let found = bytes.withUnsafeBytes { memory in
          memory.baseAddress.flatMap { format.firstNonFinite($0, count: 5) }
        }
        #expect(found == 3, "\(format.name)")
      }
    }
  }
}
