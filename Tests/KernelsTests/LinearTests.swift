import Kernels
import Tensors
import TestSupport
import Testing

/// One case: tokens, input and output features.
struct LinearShape: Sendable, CustomTestStringConvertible {
  let tokens: Int
  let input: Int
  let output: Int
  var testDescription: String { "T \(tokens), \(input) -> \(output)" }

  /// Few rows and many, odd and even, beyond one block in each direction.
  static let all: [LinearShape] = [
    LinearShape(tokens: 1, input: 1, output: 1), LinearShape(tokens: 1, input: 67, output: 33),
    LinearShape(tokens: 3, input: 130, output: 9), LinearShape(tokens: 8, input: 31, output: 300),
    LinearShape(tokens: 9, input: 7, output: 5), LinearShape(tokens: 65, input: 700, output: 40),
    LinearShape(tokens: 300, input: 41, output: 230),
    LinearShape(tokens: 20, input: 400, output: 800),
  ]
}

@Suite("Linear") struct LinearTests {
  let compute = Compute(threads: 2)

  @Test(
    "Forward matches the reference in every stored type and layout",
    arguments: LinearShape.all, ElementType.allCases)
  func forward(shape: LinearShape, type: ElementType) {
    let random = SeededRandom(11)
    let (t, i, o) = (shape.tokens, shape.input, shape.output)
    for layout in [WeightMatrix.Layout.outputMajor, .inputMajor] {
      for arithmetic in [Arithmetic.float32, .bfloat16] {
        let weight = TestWeight(random, input: i, output: o, type: type, layout: layout)
        let x = random.matrix(t, i, rowStride: i + 3)
        let bias = random.matrix(1, o)
        let rounds = arithmetic == .bfloat16
        let inputs = x.view.elements.map { Double(rounds ? roundedToBFloat16($0) : $0) }
        let weights = weight.values.map {
          rounds ? Double(roundedToBFloat16(Float($0))) : $0
        }
        let product = referenceProduct(
          inputs, weights, m: t, k: i, n: o, bTransposed: layout == .outputMajor)
        for (useBias, adding) in [(false, false), (true, false), (false, true), (true, true)] {
          let y = TestMatrix(t, o, rowStride: o + 5, filled: adding ? 0.5 : .nan)
          Linear.forward(
            x.view, weight: weight.matrix, bias: useBias ? bias.view : nil, into: y.view,
            adding: adding, arithmetic: arithmetic, on: compute)
          let expected = product.enumerated().map {
            $1 + (adding ? 0.5 : 0) + (useBias ? Double(bias.view[0, $0 % o]) : 0)
          }
          let allowed = Tolerance.sum(terms: i + 2, norms: 4 * Double(i).squareRoot() + 4)
          #expect(firstDifference(y.view, expected, allowed: allowed) == nil)
          #expect(y.gapsAreUntouched)
        }
      }
    }
  }

  @Test(
    "The input's gradient matches the reference", arguments: LinearShape.all, ElementType.allCases)
  func backwardInput(shape: LinearShape, type: ElementType) {
    let random = SeededRandom(12)
    let (t, i, o) = (shape.tokens, shape.input, shape.output)
    for layout in [WeightMatrix.Layout.outputMajor, .inputMajor] {
      let weight = TestWeight(random, input: i, output: o, type: type, layout: layout)
      let dy = random.matrix(t, o, rowStride: o + 1)
      let product = referenceProduct(
        dy.doubles, weight.values, m: t, k: o, n: i, bTransposed: layout == .inputMajor)
      for adding in [false, true] {
        let dx = TestMatrix(t, i, rowStride: i + 2, filled: adding ? -1 : .nan)
        Linear.backwardInput(
          dy.view, weight: weight.matrix, into: dx.view, adding: adding, on: compute)
        let expected = product.map { $0 + (adding ? -1 : 0) }
        let allowed = Tolerance.sum(terms: o + 1, norms: 4 * Double(o).squareRoot() + 4)
        #expect(firstDifference(dx.view, expected, allowed: allowed) == nil)
        #expect(dx.gapsAreUntouched)
      }
    }
  }

  @Test("Backward matches central differences", arguments: [1, 4, 11])
  func centralDifferences(tokens: Int) {
    let random = SeededRandom(13)
    let (i, o) = (5, 3)
    for layout in [WeightMatrix.Layout.outputMajor, .inputMajor] {
      let weight = TestWeight(random, input: i, output: o, layout: layout)
      let (x, dy) = (random.matrix(tokens, i), random.matrix(tokens, o))
      func forward(_ x: [Double], _ w: [Double]) -> [Double] {
        referenceProduct(x, w, m: tokens, k: i, n: o, bTransposed: layout == .outputMajor)
      }
      let dx = TestMatrix(tokens, i)
      let dWeight = TestMatrix(weight.matrix.storedRows, weight.matrix.storedColumns, filled: 2)
      let dBias = TestMatrix(1, o, filled: 3)
      Linear.backwardInput(dy.view, weight: weight.matrix, into: dx.view, on: compute)
      Linear.backwardWeight(
        dy.view, input: x.view, addingTo: dWeight.view, layout: layout, on: compute)
      Linear.backwardBias(dy.view, addingTo: dBias.view, on: compute)
      let expectedInput = numericalGradient(at: x.doubles, times: dy.doubles) {
        forward($0, weight.values)
      }
      let expectedWeight = numericalGradient(at: weight.values, times: dy.doubles) {
        forward(x.doubles, $0)
      }
      let expectedBias = (0..<o).map { column in
        (0..<tokens).reduce(3) { $0 + Double(dy.view[$1, column]) }
      }
      #expect(firstDifference(dx.view, expectedInput, allowed: 1e-5) == nil)
      #expect(firstDifference(dWeight.view, expectedWeight.map { $0 + 2 }, allowed: 1e-5) == nil)
      #expect(firstDifference(dBias.view, expectedBias, allowed: 1e-5) == nil)
    }
  }

  @Test("The result is the same to the last bit for any number of threads and any address")
  func sameBits() {
    let random = SeededRandom(14)
    for shape in LinearShape.all + [LinearShape(tokens: 520, input: 330, output: 450)] {
      for type in ElementType.allCases {
        for arithmetic in [Arithmetic.float32, .bfloat16] {
          let seed = random.seed + UInt64(shape.tokens)
          func results(threads: Int, byteOffset: Int, stride: Int) -> [[UInt32]] {
            let compute = Compute(threads: threads)
            let same = SeededRandom(seed, function: "sameBits")
            let weight = TestWeight(
              same, input: shape.input, output: shape.output, type: type, byteOffset: byteOffset)
            let x = same.matrix(shape.tokens, shape.input, rowStride: shape.input + stride)
            let y = TestMatrix(shape.tokens, shape.output, rowStride: shape.output + stride)
            let dx = TestMatrix(shape.tokens, shape.input, rowStride: shape.input + stride)
            Linear.forward(
              x.view, weight: weight.matrix, bias: nil, into: y.view, arithmetic: arithmetic,
              on: compute)
            Linear.backwardInput(
              y.view, weight: weight.matrix, into: dx.view, arithmetic: arithmetic, on: compute)
            return [y.bits, dx.bits]
          }
          let expected = results(threads: 1, byteOffset: 0, stride: 0)
          // A 16-bit or f32 weight between two elements' addresses is copied first, and may sum otherwise.
          #expect(results(threads: 1, byteOffset: 12, stride: 0) == expected)
          #expect(results(threads: 2, byteOffset: 0, stride: 1) == expected)
          #expect(results(threads: 3, byteOffset: 8, stride: 7) == expected)
          #expect(results(threads: 4, byteOffset: 4, stride: 0) == expected)
        }
      }
    }
  }
}
