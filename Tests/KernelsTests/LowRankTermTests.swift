import Kernels
import TestSupport
import Testing

/// A frozen product with a low-rank term, which is added along with the rest or, where its rank is
/// high, by a product of its own.
@Suite("Low-rank terms of a frozen product") struct LowRankTermTests {
  /// Few rows, whose panels are wider; parts of tiles; more than is packed together.
  static let shapes = [
    LinearShape(tokens: 3, input: 50, output: 20), LinearShape(tokens: 9, input: 7, output: 5),
    LinearShape(tokens: 37, input: 130, output: 70),
    LinearShape(tokens: 20, input: 1100, output: 330),
  ]
  /// Around the highest rank that packed products add along.
  static let ranks = [1, 3, 16, 64, 65]

  @Test("Both directions match the reference", arguments: shapes, ranks)
  func bothDirections(shape: LinearShape, rank: Int) throws {
    let random = SeededRandom(81)
    let (t, i, o) = (shape.tokens, shape.input, shape.output)
    let weight = TestWeight(random, input: i, output: o, type: .bfloat16)
    let (x, dy) = (random.matrix(t, i, rowStride: i + 3), random.matrix(t, o))
    let (u, du) = (random.matrix(t, rank, rowStride: rank + 1), random.matrix(t, rank))
    let (a, b) = (random.matrix(rank, i, rowStride: i + 2), random.matrix(o, rank))
    let bias = random.matrix(1, o)
    let branch = referenceProduct(
      u.doubles, b.doubles, m: t, k: rank, n: o, bTransposed: true)
    let dBranch = referenceProduct(du.doubles, a.doubles, m: t, k: rank, n: i)
    for arithmetic in [Arithmetic.float32, .bfloat16] {
      let inputs = [x, dy].map {
        $0.view.elements.map { Double(arithmetic == .bfloat16 ? roundedToBFloat16($0) : $0) }
      }
      let forward = referenceProduct(
        inputs[0], weight.values, m: t, k: i, n: o, bTransposed: true)
      let backward = referenceProduct(inputs[1], weight.values, m: t, k: o, n: i)
      for set in InstructionSet.available {
        let compute = try Compute(threads: 2, instructionSet: set)
        let y = TestMatrix(t, o, rowStride: o + 5, filled: .nan)
        let dx = TestMatrix(t, i, rowStride: i + 1, filled: 0.5)
        Linear.forward(
          x.view, weight: weight.matrix, bias: bias.view, into: y.view, arithmetic: arithmetic,
          term: LowRankTerm(u.view, by: b.view, transposed: true, scale: 0.75), on: compute)
        Linear.backwardInput(
          dy.view, weight: weight.matrix, into: dx.view, adding: true, arithmetic: arithmetic,
          term: LowRankTerm(du.view, by: a.view), on: compute)
        let expected = zip(forward, branch).enumerated().map {
          Double(bias.view[0, $0 % o]) + $1.0 + 0.75 * $1.1
        }
        let expectedGradient = zip(backward, dBranch).map { 0.5 + $0 + $1 }
        let terms = i + o + rank + 3
        let allowed = Tolerance.sum(terms: terms, norms: 6 * Double(terms).squareRoot() + 4)
        #expect(firstDifference(y.view, expected, allowed: allowed) == nil, "\(set)")
        #expect(firstDifference(dx.view, expectedGradient, allowed: allowed) == nil, "\(set)")
        #expect(y.gapsAreUntouched && dx.gapsAreUntouched, "\(set)")
      }
    }
  }

  @Test("The result is the same to the last bit for any number of threads", arguments: ranks)
  func sameBits(rank: Int) {
    let random = SeededRandom(82)
    let weight = TestWeight(random, input: 700, output: 400, type: .bfloat16)
    let (x, dy) = (random.matrix(150, 700), random.matrix(150, 400))
    let u = random.matrix(150, rank)
    let (a, b) = (random.matrix(rank, 700), random.matrix(400, rank))
    for arithmetic in [Arithmetic.float32, .bfloat16] {
      let results = (1...4).map { threads in
        let compute = Compute(threads: threads)
        let (y, dx) = (TestMatrix(150, 400), TestMatrix(150, 700))
        Linear.forward(
          x.view, weight: weight.matrix, bias: nil, into: y.view, arithmetic: arithmetic,
          term: LowRankTerm(u.view, by: b.view, transposed: true), on: compute)
        Linear.backwardInput(
          dy.view, weight: weight.matrix, into: dx.view, arithmetic: arithmetic,
          term: LowRankTerm(u.view, by: a.view), on: compute)
        return [y.bits, dx.bits]
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }
}
