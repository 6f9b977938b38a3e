import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Instruction sets") struct InstructionSetTests {
  /// Every set this processor runs besides the scalar reference.
  static let others = ["avx2", "avx512", "neon"].filter {
    Compute(threads: 1, instructionSet: $0).instructionSet == $0
  }

  @Test("Widening and rounding give the scalar reference's bits", arguments: others)
  func widening(name: String) {
    let (compute, scalar) = (
      Compute(threads: 1, instructionSet: name), Compute(threads: 1, instructionSet: "scalar")
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

  @Test("Optimizers give the scalar reference's bits", arguments: others)
  func optimizers(name: String) {
    let random = SeededRandom(51)
    let (values, gradients) = (random.matrix(1, 1003), random.matrix(1, 1003))
    let results = [name, "scalar"].map { set in
      let compute = Compute(threads: 2, instructionSet: set)
      let p = TestMatrix(copying: values.view)
      let (m, v) = (TestMatrix(1, 1003), TestMatrix(1, 1003))
      for step in 1...3 {
        AdamW.update(
          values: p.view, gradients: gradients.view, firstMoment: m.view, secondMoment: v.view,
          learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01,
          step: step, gradientScale: 0.3, on: compute)
        SGD.update(
          values: p.view, gradients: gradients.view, learningRate: 1e-2, weightDecay: 0.1,
          on: compute)
      }
      return [p.bits, m.bits, v.bits]
    }
    #expect(results[0] == results[1])
  }

  @Test(
    "Products and losses agree with the scalar reference up to the order of sums", arguments: others
  )
  func sums(name: String) {
    let random = SeededRandom(52)
    let (hiddenSize, vocabulary) = (83, 301)
    let head = TestWeight(random, input: hiddenSize, output: vocabulary, type: .bfloat16)
    let hidden = random.matrix(4, hiddenSize)
    let targets = random.indices(4, below: vocabulary)
    let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: vocabulary))
    let results = [name, "scalar"].map { set in
      let dHidden = TestMatrix(4, hiddenSize)
      let loss = HeadLoss.forward(
        hidden.view, targets: targets.all, weight: head.matrix, bias: nil, dHidden: dHidden.view,
        dWeight: nil, dBias: nil, scratch: scratch.view,
        on: Compute(threads: 2, instructionSet: set))
      return dHidden.doubles + [loss]
    }
    let allowed = Tolerance.sum(terms: vocabulary, norms: 40)
    #expect(firstDifference(results[0], results[1], allowed: allowed) == nil)
  }
}
