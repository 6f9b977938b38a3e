import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Instruction sets") struct InstructionSetTests {
  /// Every set this processor runs besides the scalar reference.
  static let others = InstructionSet.available.filter { $0 != .scalar }

  @Test("Widening and rounding give the scalar reference's bits", arguments: others)
  func widening(set: InstructionSet) throws {
    let (compute, scalar) = (
      try Compute(threads: 1, instructionSet: set),
      try Compute(threads: 1, instructionSet: .scalar)
    )
    // Every 16-bit pattern once: NaN, infinities and subnormal numbers among them.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 0x20002, alignment: 2)
    defer { memory.deallocate() }
    for pattern in 0...0xffff {
      memory.storeBytes(
        of: UInt16(pattern), toByteOffset: 2 * pattern + 1, as: UInt16.self)
    }
    let token = IndexBuffer([0])
    for type in [ElementType.float16, .bfloat16] {
      let table = WeightMatrix(
        storage: UnsafeRawPointer(memory + 1), elementType: type, inputSize: 0x10000, outputSize: 1)
      let (x, expected) = (TestMatrix(1, 0x10000), TestMatrix(1, 0x10000))
      Embedding.forward(token.all, table: table, into: x.view, on: compute)
      Embedding.forward(token.all, table: table, into: expected.view, on: scalar)
      #expect(x.bits == expected.bits)
      for pattern in stride(from: 0, through: 0xffff, by: 7) {
        let value =
          type == .float16
          ? Float(Float16(bitPattern: UInt16(pattern)))
          : Float(bitPattern: UInt32(pattern) << 16)
        #expect(value.isNaN ? x.view[0, pattern].isNaN : value == x.view[0, pattern])
      }
    }
  }

  @Test("Losses and the products behind them agree with the scalar reference", arguments: others)
  func losses(set: InstructionSet) throws {
    let random = SeededRandom(52)
    let (hiddenSize, vocabulary) = (83, 301)
    let head = TestWeight(random, input: hiddenSize, output: vocabulary, type: .bfloat16)
    let hidden = random.matrix(4, hiddenSize)
    let targets = random.indices(4, below: vocabulary)
    let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: vocabulary))
    let results = try [set, .scalar].map { set in
      let dHidden = TestMatrix(4, hiddenSize)
      let loss = HeadLoss.forward(
        hidden.view, targets: targets.all, weight: head.matrix, bias: nil, dHidden: dHidden.view,
        dWeight: nil, dBias: nil, scratch: scratch.view,
        on: try Compute(threads: 2, instructionSet: set))
      return dHidden.doubles + [loss]
    }
    let allowed = Tolerance.sum(terms: vocabulary, norms: 40)
    #expect(firstDifference(results[0], results[1], allowed: allowed) == nil)
  }
}
