import Kernels
import TestSupport
import Testing

/// Sizes of a gated attention.
struct GatedCase: CustomTestStringConvertible, Sendable {
  var heads = 2
  var keyValueHeads = 1
  var dim = 8
  var tokens = 5
  var rows = 4
  var gate: Float = 0.7

  var testDescription: String {
    "\(heads)/\(keyValueHeads) heads of \(dim), \(tokens) tokens, \(rows) rows, gate \(gate)"
  }
}

private final class GatedRun {
  let query: TestMatrix
  let keys: TestMatrix
  let values: TestMatrix
  let dOut: TestMatrix
  let out: TestMatrix
  let dQuery: TestMatrix
  let dKeys: TestMatrix
  let dValues: TestMatrix
  let dGate = TestMatrix(1, 1, filled: 0.5)

  init(_ c: GatedCase, on compute: Compute) {
    let random = SeededRandom(4)
    let (wide, narrow) = (c.heads * c.dim, c.keyValueHeads * c.dim)
    query = random.matrix(c.tokens, wide, rowStride: wide + 1)
    keys = random.matrix(c.rows, narrow, rowStride: narrow + 2)
    values = random.matrix(c.rows, narrow)
    dOut = random.matrix(c.tokens, wide, rowStride: wide + 3)
    out = TestMatrix(c.tokens, wide, rowStride: wide + 2, filled: 1)
    dQuery = TestMatrix(c.tokens, wide, rowStride: wide + 2, filled: 2)
    dKeys = TestMatrix(c.rows, narrow, filled: 3)
    dValues = TestMatrix(c.rows, narrow, filled: 4)
    let shape = AttentionShape(
      headCount: c.heads, keyValueHeadCount: c.keyValueHeads, headDim: c.dim, scale: 0.5)
    GatedAttention.forward(
      query: query.view, keys: keys.view, values: values.view, gate: c.gate, shape: shape,
      addingTo: out.view, on: compute)
    GatedAttention.backward(
      dOut.view, query: query.view, keys: keys.view, values: values.view, gate: c.gate,
      shape: shape, addingTo: dQuery.view, dKeys: dKeys.view, dValues: dValues.view,
      dGate: dGate.view, on: compute)
  }
}

@Suite("Gated attention")
struct GatedAttentionTests {
  static let cases = [
    GatedCase(), GatedCase(gate: 0), GatedCase(heads: 1, tokens: 1, rows: 1),
    GatedCase(heads: 9, keyValueHeads: 3, dim: 64, tokens: 70, rows: 10, gate: -1.5),
    GatedCase(heads: 4, keyValueHeads: 4, dim: 20, tokens: 200, rows: 130),
  ]

  @Test("Forward and backward match the reference", arguments: cases, InstructionSet.available)
  func matches(c: GatedCase, instructionSet: InstructionSet) throws {
    let run = try GatedRun(c, on: Compute(threads: 2, instructionSet: instructionSet))
    // A prefix in front of sequences without keys of their own is attention over the prompt alone;
    // every query is a sequence.
    let reference = ReferenceAttention(
      heads: c.heads, keyValueHeads: c.keyValueHeads, dim: c.dim, scale: 0.5,
      queries: Array(repeating: 1, count: c.tokens), keys: Array(repeating: 0, count: c.tokens),
      prefix: c.rows)
    let inputs = ReferenceAttention.Inputs(
      query: run.query.doubles, key: [], value: [], prefixKey: run.keys.doubles,
      prefixValue: run.values.doubles)
    let (attention, _) = reference.forward(inputs)
    let gate = Double(c.gate)
    let dOut = run.dOut.doubles
    let g = reference.backward(inputs, dOut: dOut.map { $0 * gate })
    let dGate = zip(attention, dOut).reduce(0) { $0 + $1.0 * $1.1 }
    let few = Tolerance.sum(terms: c.dim + c.rows, norms: 16)
    let many = Tolerance.sum(terms: c.tokens * c.heads, norms: 16)
    func expect(_ matrix: TestMatrix, _ expected: [Double], _ allowed: Double, _ name: String) {
      let difference = firstDifference(matrix.view, expected, allowed: allowed)
      #expect(difference == nil, "\(name): \(difference ?? "")")
      #expect(matrix.gapsAreUntouched, "\(name)")
    }
    expect(run.out, attention.map { 1 + gate * $0 }, few, "out")
    expect(run.dQuery, g.query.map { 2 + $0 }, few, "dQuery")
    expect(run.dKeys, g.prefixKey.map { 3 + $0 }, many, "dKeys")
    expect(run.dValues, g.prefixValue.map { 4 + $0 }, many, "dValues")
    let allowed = Tolerance.sum(
      terms: attention.count, norms: Tolerance.norm(attention) * Tolerance.norm(dOut))
    expect(run.dGate, [0.5 + dGate], allowed, "dGate")
  }

  @Test("The number of threads does not change a bit", arguments: cases)
  func threads(c: GatedCase) {
    let runs = [1, 2, 5].map { threads in
      let run = GatedRun(c, on: Compute(threads: threads))
      return [run.out, run.dQuery, run.dKeys, run.dValues, run.dGate].map(\.bits)
    }
    #expect(runs[0] == runs[1])
    #expect(runs[0] == runs[2])
  }
}
