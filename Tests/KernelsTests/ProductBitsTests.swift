import Kernels
import Tensors
import TestSupport
import Testing

/// What `ck_product.h` promises: an element's bits depend on its row of A and its column of B alone.
@Suite("The bits of products") struct ProductBitsTests {
  /// Around tiles and panels of every set, and around parts of the depth.
  static let shapes = [
    LinearShape(tokens: 1, input: 1, output: 1), LinearShape(tokens: 7, input: 353, output: 49),
    LinearShape(tokens: 9, input: 352, output: 17),
    LinearShape(tokens: 33, input: 705, output: 300),
  ]

  @Test(
    "A layer with a low-rank term has the scalar reference's bits", arguments: shapes,
    ElementType.allCases)
  func layer(shape: LinearShape, type: ElementType) throws {
    let random = SeededRandom(91)
    let (t, i, o) = (shape.tokens, shape.input, shape.output)
    for (layout, byteOffset) in [(WeightMatrix.Layout.outputMajor, 1), (.inputMajor, 6)] {
      let weight = TestWeight(
        random, input: i, output: o, type: type, layout: layout, byteOffset: byteOffset)
      let (x, dy) = (random.matrix(t, i, rowStride: i + 3), random.matrix(t, o))
      let (u, a, b) = (random.matrix(t, 5), random.matrix(5, i), random.matrix(o, 5))
      let results = try InstructionSet.available.map { set in
        let compute = try Compute(threads: 2, instructionSet: set)
        let (y, dx) = (TestMatrix(t, o, filled: 0.5), TestMatrix(t, i))
        Linear.forward(
          x.view, weight: weight.matrix, bias: nil, into: y.view, adding: true,
          term: LowRankTerm(u.view, by: b.view, transposed: true, scale: 0.7), on: compute)
        Linear.backwardInput(
          dy.view, weight: weight.matrix, into: dx.view, term: LowRankTerm(u.view, by: a.view),
          on: compute)
        return [y.bits, dx.bits]
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }

  @Test("Gradients of weights have the scalar reference's bits", arguments: shapes)
  func weightGradients(shape: LinearShape) throws {
    let random = SeededRandom(92)
    let (t, i, o) = (shape.input, shape.tokens, shape.output)
    let (x, dy) = (random.matrix(t, i), random.matrix(t, o))
    let results = try InstructionSet.available.map { set in
      let compute = try Compute(threads: 3, instructionSet: set)
      return [WeightMatrix.Layout.outputMajor, .inputMajor].map { layout in
        let dWeight =
          layout == .outputMajor ? TestMatrix(o, i, filled: 0.1) : TestMatrix(i, o, filled: 0.1)
        Linear.backwardWeight(
          dy.view, input: x.view, addingTo: dWeight.view, layout: layout,
          on: compute)
        return dWeight.bits
      }
    }
    #expect(results.allSatisfy { $0 == results[0] })
  }

  @Test(
    "A row has the same bits alone and among others, with what is added to it",
    arguments: [Arithmetic.float32, .bfloat16], ElementType.allCases)
  func rowsAlone(arithmetic: Arithmetic, type: ElementType) throws {
    let random = SeededRandom(93)
    let (x, u, b) = (random.matrix(29, 403), random.matrix(29, 5), random.matrix(131, 5))
    let weight = TestWeight(random, input: 403, output: 131, type: type, byteOffset: 2)
    for set in InstructionSet.available {
      let compute = try Compute(threads: 2, instructionSet: set)
      func forward(_ rows: Range<Int>) -> [UInt32] {
        let y = TestMatrix(rows.count, 131, filled: 0.25)
        Linear.forward(
          x.view.rows(rows), weight: weight.matrix, bias: nil, into: y.view, adding: true,
          arithmetic: arithmetic,
          term: LowRankTerm(u.view.rows(rows), by: b.view, transposed: true, scale: 0.7),
          on: compute)
        return y.bits
      }
      let all = forward(0..<29)
      for count in [1, 2, 3, 4, 5, 8, 13] {
        #expect(forward(0..<count) == Array(all[..<(count * 131)]), "\(set), \(count) rows")
      }
    }
  }
}
