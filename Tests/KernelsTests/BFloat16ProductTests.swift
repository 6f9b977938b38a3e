import Kernels
import Tensors
import TestSupport
import Testing

/// oneDNN's path for bf16 operands, run with f32 operands that were rounded to bf16: everything but
/// oneDNN's own bf16 kernel is the code that processors with bf16 run.
@Suite("Products with bf16 operands by oneDNN") struct BFloat16ProductTests {
  let compute = Compute(threads: 2, bfloat16: .oneDNNWithFloat32Operands)

  static let shapes = [
    LinearShape(tokens: 9, input: 7, output: 5), LinearShape(tokens: 65, input: 2100, output: 40),
    LinearShape(tokens: 300, input: 41, output: 230),
  ]

  @Test("Both directions match the reference", arguments: shapes, ElementType.allCases)
  func bothDirections(shape: LinearShape, type: ElementType) {
    let random = SeededRandom(71)
    let (t, i, o) = (shape.tokens, shape.input, shape.output)
    for layout in [WeightMatrix.Layout.outputMajor, .inputMajor] {
      for byteOffset in [1, 4] {
        // f32 weights at an aligned address are used where they lie, so they must be bf16 numbers.
        let weight = TestWeight(
          random, input: i, output: o, type: type, layout: layout, byteOffset: byteOffset,
          holdsBFloat16: true)
        let (x, dy) = (random.matrix(t, i, rowStride: i + 3), random.matrix(t, o))
        let bias = random.matrix(1, o)
        let (y, dx) = (TestMatrix(t, o, rowStride: o + 1, filled: 0.5), TestMatrix(t, i))
        Linear.forward(
          x.view, weight: weight.matrix, bias: bias.view, into: y.view, adding: true,
          arithmetic: .bfloat16, on: compute)
        Linear.backwardInput(
          dy.view, weight: weight.matrix, into: dx.view, arithmetic: .bfloat16, on: compute)
        let rounded = [x, dy].map { $0.view.elements.map { Double(roundedToBFloat16($0)) } }
        let forward = referenceProduct(
          rounded[0], weight.values, m: t, k: i, n: o, bTransposed: layout == .outputMajor)
        let backward = referenceProduct(
          rounded[1], weight.values, m: t, k: o, n: i, bTransposed: layout == .inputMajor)
        let expected = forward.enumerated().map { 0.5 + $1 + Double(bias.view[0, $0 % o]) }
        let allowed = Tolerance.sum(terms: i + o, norms: 4 * Double(i + o).squareRoot() + 4)
        #expect(firstDifference(y.view, expected, allowed: allowed) == nil)
        #expect(firstDifference(dx.view, backward, allowed: allowed) == nil)
        #expect(y.gapsAreUntouched)
      }
    }
    #expect(compute.usesOneDNN)
  }

  @Test("The result is the same to the last bit for any number of threads")
  func sameBits() {
    let random = SeededRandom(72)
    let (x, weight) = (
      random.matrix(333, 450), TestWeight(random, input: 450, output: 700, type: .bfloat16)
    )
    let results = (1...4).map { threads in
      let compute = Compute(threads: threads, bfloat16: .oneDNNWithFloat32Operands)
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

  @Test("What oneDNN refuses is emulated", .enabled(if: !Compute.hasNativeBFloat16))
  func refusal() {
    let random = SeededRandom(73)
    let (x, weight) = (
      random.matrix(20, 33), TestWeight(random, input: 33, output: 10, type: .bfloat16)
    )
    // bf16 operands on a processor that does not multiply them.
    let results = [Compute.BFloat16Products.oneDNN, .emulated].map { products in
      let compute = Compute(threads: 2, bfloat16: products)
      let y = TestMatrix(20, 10)
      Linear.forward(
        x.view, weight: weight.matrix, bias: nil, into: y.view, arithmetic: .bfloat16, on: compute)
      #expect(!compute.usesOneDNN)
      return y.bits
    }
    #expect(results[0] == results[1])
  }
}
