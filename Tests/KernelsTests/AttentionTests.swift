import Kernels
import Tensors
import TestSupport
import Testing

/// Inputs of one attention, their reference, and a run of the kernels on them.
struct AttentionCase: CustomTestStringConvertible, Sendable {
  var heads = 2
  var keyValueHeads = 1
  var dim = 8
  var queries = [5]
  var keys: [Int]?
  var window = 0
  var prefix = 0
  var cap = 0.0

  var testDescription: String {
    "\(heads)/\(keyValueHeads) heads of \(dim), \(queries) of \(keys ?? queries), "
      + "window \(window), prefix \(prefix), cap \(cap)"
  }
  var reference: ReferenceAttention {
    ReferenceAttention(
      heads: heads, keyValueHeads: keyValueHeads, dim: dim, scale: 1 / Double(dim).squareRoot(),
      window: window, cap: cap, queries: queries, keys: keys ?? queries, prefix: prefix)
  }
  var shape: AttentionShape {
    AttentionShape(
      headCount: heads, keyValueHeadCount: keyValueHeads, headDim: dim,
      scale: Float(reference.scale), softCap: Float(cap), window: window)
  }
}

final class AttentionRun {
  let query: TestMatrix
  let key: TestMatrix
  let value: TestMatrix
  let dOut: TestMatrix
  let prefixKey: TestMatrix
  let prefixValue: TestMatrix
  let out: TestMatrix
  let logSum: TestMatrix
  let dQuery: TestMatrix
  let dKey: TestMatrix
  let dValue: TestMatrix
  let dPrefixKey: TestMatrix
  let dPrefixValue: TestMatrix
  private let queryOffsets: IndexBuffer
  private let keyOffsets: IndexBuffer
  private let shape: AttentionShape

  init(_ c: AttentionCase, seed: UInt64 = 1) {
    let random = SeededRandom(seed)
    let (q, k) = (c.queries.reduce(0, +), (c.keys ?? c.queries).reduce(0, +))
    let (wide, narrow) = (c.heads * c.dim, c.keyValueHeads * c.dim)
    // Every matrix has a stride of its own.
    query = random.matrix(q, wide, rowStride: wide + 3)
    key = random.matrix(k, narrow, rowStride: narrow + 5)
    value = random.matrix(k, narrow)
    dOut = random.matrix(q, wide, rowStride: wide + 1)
    prefixKey = random.matrix(c.prefix, narrow)
    prefixValue = random.matrix(c.prefix, narrow, rowStride: narrow + 2)
    out = TestMatrix(q, wide, rowStride: wide + 2, filled: .nan)
    logSum = TestMatrix(q, c.heads, filled: .nan)
    dQuery = TestMatrix(q, wide, rowStride: wide + 7, filled: .nan)
    dKey = TestMatrix(k, narrow, filled: .nan)
    dValue = TestMatrix(k, narrow, rowStride: narrow + 1, filled: .nan)
    dPrefixKey = TestMatrix(c.prefix, narrow, filled: 0.5)
    dPrefixValue = TestMatrix(c.prefix, narrow, filled: 0.5)
    queryOffsets = IndexBuffer(AttentionRun.offsets(c.queries))
    keyOffsets = IndexBuffer(AttentionRun.offsets(c.keys ?? c.queries))
    shape = c.shape
  }

  private static func offsets(_ counts: [Int]) -> [Int] {
    counts.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
  }

  var inputs: ReferenceAttention.Inputs {
    .init(
      query: query.doubles, key: key.doubles, value: value.doubles,
      prefixKey: prefixKey.doubles, prefixValue: prefixValue.doubles)
  }

  func run(on compute: Compute, arithmetic: Arithmetic = .float32, backward: Bool = true) {
    let spans = SequenceSpans(queryOffsets: queryOffsets.all, keyOffsets: keyOffsets.all)
    let prefix =
      prefixKey.view.rows == 0
      ? nil : PrefixKeyValues(keys: prefixKey.view, values: prefixValue.view)
    Attention.forward(
      query: query.view, key: key.view, value: value.view, prefix: prefix, spans: spans,
      shape: shape, arithmetic: arithmetic, into: out.view, logSumExp: logSum.view, on: compute)
    guard backward else { return }
    Attention.backward(
      dOut.view, query: query.view, key: key.view, value: value.view, prefix: prefix,
      out: out.view, logSumExp: logSum.view, spans: spans, shape: shape,
      arithmetic: arithmetic, into: dQuery.view, dKey.view, dValue.view,
      prefixGradients: prefix == nil
        ? nil : PrefixGradients(dKeys: dPrefixKey.view, dValues: dPrefixValue.view),
      on: compute)
  }

  var allBits: [[UInt32]] {
    [out, logSum, dQuery, dKey, dValue, dPrefixKey, dPrefixValue].map(\.bits)
  }
}

extension AttentionCase {
  /// Groups, odd sizes, windows and earlier keys, all without a prefix.
  static let withoutPrefix: [AttentionCase] = [
    AttentionCase(),
    AttentionCase(heads: 1, keyValueHeads: 1, dim: 16, queries: [1]),
    AttentionCase(heads: 3, keyValueHeads: 1, dim: 64, queries: [70, 1, 33]),
    AttentionCase(heads: 9, keyValueHeads: 3, dim: 64, queries: [130]),
    AttentionCase(heads: 4, keyValueHeads: 4, dim: 80, queries: [97, 5]),
    AttentionCase(heads: 8, keyValueHeads: 1, dim: 128, queries: [40, 64]),
    AttentionCase(heads: 7, keyValueHeads: 1, dim: 13, queries: Array(1...20)),
    AttentionCase(heads: 2, keyValueHeads: 2, dim: 9, queries: [200], window: 17),
    AttentionCase(heads: 4, keyValueHeads: 2, dim: 20, queries: [5, 40], keys: [90, 41]),
    AttentionCase(
      heads: 2, keyValueHeads: 1, dim: 16, queries: [1, 2], keys: [150, 150], window: 20),
    // More keys than stay packed in a worker's memory.
    AttentionCase(heads: 1, keyValueHeads: 1, dim: 256, queries: [400, 3]),
  ]
}

private let cases =
  AttentionCase.withoutPrefix + [
    AttentionCase(heads: 7, keyValueHeads: 1, dim: 12, queries: Array(1...20)),
    AttentionCase(heads: 6, keyValueHeads: 2, dim: 16, queries: [150, 3], window: 64, prefix: 5),
    AttentionCase(heads: 4, keyValueHeads: 2, dim: 64, queries: [66, 10], prefix: 70),
    AttentionCase(
      heads: 4, keyValueHeads: 2, dim: 20, queries: [1, 1], keys: [200, 1], prefix: 3),
    // Scores of the order of the cap, which bends them.
    AttentionCase(
      heads: 6, keyValueHeads: 2, dim: 16, queries: [150, 3], window: 64, prefix: 5, cap: 0.7),
    AttentionCase(
      heads: 4, keyValueHeads: 2, dim: 20, queries: [1, 1], keys: [200, 1], cap: 1.1),
  ]

@Suite("Attention")
struct AttentionTests {
  @Test("The reference's backward matches central differences")
  func reference() {
    let c = AttentionCase(
      heads: 2, keyValueHeads: 1, dim: 3, queries: [2, 4], window: 3, prefix: 2, cap: 0.8)
    let run = AttentionRun(c)
    let (x, dOut, reference) = (run.inputs, run.dOut.doubles, c.reference)
    let g = reference.backward(x, dOut: dOut)
    let parts: [(WritableKeyPath<ReferenceAttention.Inputs, [Double]>, String)] = [
      (\.query, "query"), (\.key, "key"), (\.value, "value"), (\.prefixKey, "prefix keys"),
      (\.prefixValue, "prefix values"),
    ]
    for (path, name) in parts {
      let numerical = numericalGradient(at: x[keyPath: path], times: dOut) { values in
        var moved = x
        moved[keyPath: path] = values
        return reference.forward(moved).out
      }
      let difference = firstDifference(g[keyPath: path], numerical, allowed: 1e-8)
      #expect(difference == nil, "\(name): \(difference ?? "")")
    }
  }

  @Test("Forward and backward match the reference", arguments: cases, InstructionSet.available)
  private func matches(_ c: AttentionCase, instructionSet: InstructionSet) throws {
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    let run = AttentionRun(c)
    run.run(on: compute)
    let (x, reference) = (run.inputs, c.reference)
    let (out, logSum) = reference.forward(x)
    let g = reference.backward(x, dOut: run.dOut.doubles)
    let longest = (c.keys ?? c.queries).max() ?? 1
    // Entries are of order 1; a score is a sum over D, a result one over keys (and the heads of a
    // group and queries, in backward) of terms that probabilities weigh.
    let terms = c.dim + longest + c.prefix
    let forward = Tolerance.sum(terms: terms, norms: 4)
    let backward = Tolerance.sum(terms: terms * c.heads, norms: 16)
    func expect(_ matrix: TestMatrix, _ expected: [Double], _ allowed: Double, _ name: String) {
      let difference = firstDifference(matrix.view, expected, allowed: allowed)
      #expect(difference == nil, "\(name): \(difference ?? "")")
      #expect(matrix.gapsAreUntouched, "\(name)")
    }
    expect(run.out, out, forward, "out")
    expect(run.logSum, logSum, forward, "logSumExp")
    expect(run.dQuery, g.query, backward, "dQuery")
    expect(run.dKey, g.key, backward, "dKey")
    expect(run.dValue, g.value, backward, "dValue")
    expect(run.dPrefixKey, g.prefixKey.map { $0 + 0.5 }, backward, "prefix dKeys")
    expect(run.dPrefixValue, g.prefixValue.map { $0 + 0.5 }, backward, "prefix dValues")
  }

  @Test("The number of threads does not change a bit", arguments: cases)
  private func threads(_ c: AttentionCase) {
    // One thread takes sequences whole, many threads go by tiles.
    let runs = [1, 2, 13].map { threads in
      let run = AttentionRun(c)
      run.run(on: Compute(threads: threads))
      return run.allBits
    }
    #expect(runs[0] == runs[1])
    #expect(runs[0] == runs[2])
  }

  @Test("A query at a time over cached keys gives what all at once give")
  func generation() {
    let (dim, length) = (16, 90)
    let whole = AttentionRun(AttentionCase(heads: 4, keyValueHeads: 2, dim: dim, queries: [length]))
    let compute = Compute(threads: 1)
    whole.run(on: compute, backward: false)
    let shape = AttentionShape(headCount: 4, keyValueHeadCount: 2, headDim: dim, scale: 0.25)
    for position in 0..<length {
      let out = TestMatrix(1, 4 * dim)
      let logSum = TestMatrix(1, 4)
      let queries = IndexBuffer([0, 1])
      let keys = IndexBuffer([0, position + 1])
      Attention.forward(
        query: whole.query.view.rows(position..<(position + 1)),
        key: whole.key.view.rows(0..<(position + 1)),
        value: whole.value.view.rows(0..<(position + 1)), prefix: nil,
        spans: SequenceSpans(queryOffsets: queries.all, keyOffsets: keys.all), shape: shape,
        into: out.view, logSumExp: logSum.view, on: compute)
      let expected = whole.out.view.rows(position..<(position + 1)).elements.map(Double.init)
      #expect(firstDifference(out.view, expected, allowed: 2e-6) == nil)
    }
  }

  @Test("Scores of any size give finite results, and a NaN comes out again")
  func extremes() {
    let c = AttentionCase(heads: 2, keyValueHeads: 1, dim: 16, queries: [80])
    let large = AttentionRun(c)
    for i in 0..<80 { for j in 0..<16 { large.key.view[i, j] *= 1000 } }
    large.run(on: Compute(threads: 1))
    for matrix in [large.out, large.dQuery, large.dKey, large.dValue] {
      #expect(matrix.view.elements.filter(\.isFinite).count == matrix.view.count)
    }
    let broken = AttentionRun(c)
    broken.value.view[23, 2] = .nan
    broken.run(on: Compute(threads: 1))
    #expect(broken.out.view[23, 2].isNaN)
    #expect(!broken.out.view[2, 2].isNaN)
  }
}
