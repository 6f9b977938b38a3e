import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Products with bf16 operands") struct BFloat16ProductTests {
  /// The processor's own instruction where it has one, and its emulation on every set.
  static let ways: [(set: InstructionSet, products: Compute.BFloat16Products)] =
    [(.best, .native)] + InstructionSet.available.map { ($0, .emulated) }

  static let shapes = [
    LinearShape(tokens: 9, input: 7, output: 5), LinearShape(tokens: 65, input: 2100, output: 40),
    LinearShape(tokens: 300, input: 41, output: 230),
  ]

  @Test("Both directions match the reference", arguments: shapes, ElementType.allCases)
  func bothDirections(shape: LinearShape, type: ElementType) throws {
    let random = SeededRandom(71)
    let (t, i, o) = (shape.tokens, shape.input, shape.output)
    for layout in [WeightMatrix.Layout.outputMajor, .inputMajor] {
      for byteOffset in [1, 4] {
        let weight = TestWeight(
          random, input: i, output: o, type: type, layout: layout, byteOffset: byteOffset,
          holdsBFloat16: false)
        let (x, dy) = (random.matrix(t, i, rowStride: i + 3), random.matrix(t, o))
        let bias = random.matrix(1, o)
        let rounded = [x, dy].map { $0.view.elements.map { Double(roundedToBFloat16($0)) } }
        let weights = weight.values.map { Double(roundedToBFloat16(Float($0))) }
        let forward = referenceProduct(
          rounded[0], weights, m: t, k: i, n: o, bTransposed: layout == .outputMajor)
        let backward = referenceProduct(
          rounded[1], weights, m: t, k: o, n: i, bTransposed: layout == .inputMajor)
        let expected = forward.enumerated().map { 0.5 + $1 + Double(bias.view[0, $0 % o]) }
        let allowed = Tolerance.sum(terms: i + o, norms: 4 * Double(i + o).squareRoot() + 4)
        for way in Self.ways {
          let compute = try Compute(
            threads: 2, instructionSet: way.set, bfloat16: way.products)
          let (y, dx) = (TestMatrix(t, o, rowStride: o + 1, filled: 0.5), TestMatrix(t, i))
          Linear.forward(
            x.view, weight: weight.matrix, bias: bias.view, into: y.view, adding: true,
            arithmetic: .bfloat16, on: compute)
          Linear.backwardInput(
            dy.view, weight: weight.matrix, into: dx.view, arithmetic: .bfloat16, on: compute)
          #expect(firstDifference(y.view, expected, allowed: allowed) == nil, "\(way)")
          #expect(firstDifference(dx.view, backward, allowed: allowed) == nil, "\(way)")
          #expect(y.gapsAreUntouched)
        }
      }
    }
  }

  @Test("The result is the same to the last bit for any number of threads")
  func sameBits() {
    let random = SeededRandom(72)
    let (x, weight) = (
      random.matrix(333, 450), TestWeight(random, input: 450, output: 700, type: .bfloat16)
    )
    let results = (1...4).map { threads in
      let compute = Compute(threads: threads)
      let y = TestMatrix(333, 700)
      for _ in 0..<2 {
        Linear.forward(
          x.view, weight: weight.matrix, bias: nil, into: y.view, arithmetic: .bfloat16,
          on: compute)
      }
      return y.bits
    }
    #expect(results.allSatisfy { $0 == results[0] })
  }

  @Test("Emulation gives the same bits on every instruction set")
  func sameBitsOnAllSets() throws {
    let random = SeededRandom(73)
    for type in ElementType.allCases {
      let (x, weight) = (
        random.matrix(20, 433), TestWeight(random, input: 433, output: 50, type: type)
      )
      let results = try InstructionSet.available.map { set in
        let compute = try Compute(threads: 2, instructionSet: set, bfloat16: .emulated)
        let y = TestMatrix(20, 50)
        Linear.forward(
          x.view, weight: weight.matrix, bias: nil, into: y.view, arithmetic: .bfloat16,
          on: compute)
        return y.bits
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }
}
