import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

/// Attention in `Double` on operands that are rounded to bf16 where the kernels round them, and how
/// far a result may lie from it.
///
/// Probabilities and the scores' gradients are operands, too, but made on the way: kernels round
/// numbers that differ from the ones here in f32's last places, or by a factor. Each has a relative
/// error of at most bf16's roundoff u, so that a sum over j of pⱼ vⱼ is off by at most u·Σ pⱼ |vⱼ|.
private struct RoundedAttention {
  struct Results {
    var out: [Double]
    var logSum: [Double]
    var dQuery: [Double]
    var dKey: [Double]
    var dValue: [Double]
  }

  let c: AttentionCase
  let query: [Double]  // scaled
  let key: [Double]
  let value: [Double]
  let dOut: [Double]

  init(_ c: AttentionCase, _ run: AttentionRun) {
    self.c = c
    let scale = c.shape.scale
    query = run.query.view.elements.map { Double(roundedToBFloat16($0 * scale)) }
    key = run.key.view.elements.map { Double(roundedToBFloat16($0)) }
    value = run.value.view.elements.map { Double(roundedToBFloat16($0)) }
    dOut = run.dOut.view.elements.map { Double(roundedToBFloat16($0)) }
  }

  /// The results, and for each the bound on what rounding inside may have moved it.
  func results() -> (values: Results, bounds: Results) {
    let zeros = Results(
      out: query.map { _ in 0 }, logSum: [Double](repeating: 0, count: query.count / c.dim),
      dQuery: query.map { _ in 0 }, dKey: key.map { _ in 0 }, dValue: value.map { _ in 0 })
    var (values, bounds) = (zeros, zeros)
    var (row, keyStart) = (0, 0)
    for (sequence, count) in c.queries.enumerated() {
      let keys = (c.keys ?? c.queries)[sequence]
      for index in 0..<count {
        let position = keys - count + index
        let first = c.window == 0 ? 0 : max(0, position - c.window + 1)
        for head in 0..<c.heads {
          add(
            row: row, head: head, keys: keyStart + first...keyStart + position, &values, &bounds)
        }
        row += 1
      }
      keyStart += keys
    }
    return (values, bounds)
  }

  private func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> Double {
    (0..<c.dim).reduce(0) { $0 + a[i + $1] * b[j + $1] }
  }

  /// One query of one head.
  private func add(
    row: Int, head: Int, keys: ClosedRange<Int>, _ values: inout Results, _ bounds: inout Results
  ) {
    let u = Tolerance.bfloat16Roundoff
    let scale = Double(c.shape.scale)
    let at = (row * c.heads + head) * c.dim
    let places = keys.map { ($0 * c.keyValueHeads + head / (c.heads / c.keyValueHeads)) * c.dim }
    let scores = places.map { dot(query, at, key, $0) }
    let greatest = scores.max() ?? 0
    let total = scores.reduce(0) { $0 + exp($1 - greatest) }
    let p = scores.map { exp($0 - greatest) / total }
    values.logSum[row * c.heads + head] = greatest + log(total)
    for (weight, place) in zip(p, places) {
      for d in 0..<c.dim {
        values.out[at + d] += weight * value[place + d]
        bounds.out[at + d] += u * weight * abs(value[place + d])
      }
    }
    // delta multiplies what is stored: the result, error included.
    let delta = dot(dOut, at, values.out, at)
    let deltaError = (0..<c.dim).reduce(0) { $0 + abs(dOut[at + $1]) * bounds.out[at + $1] }
    for (weight, place) in zip(p, places) {
      let ds = weight * (dot(dOut, at, value, place) - delta)
      let error = u * abs(ds) + (1 + u) * weight * deltaError
      for d in 0..<c.dim {
        values.dQuery[at + d] += scale * ds * key[place + d]
        bounds.dQuery[at + d] += scale * error * abs(key[place + d])
        values.dKey[place + d] += ds * query[at + d]
        bounds.dKey[place + d] += error * abs(query[at + d])
        values.dValue[place + d] += weight * dOut[at + d]
        bounds.dValue[place + d] += u * weight * abs(dOut[at + d])
      }
    }
  }
}

private let cases =
  AttentionCase.withoutPrefix + [
    AttentionCase(heads: 6, keyValueHeads: 2, dim: 16, queries: [150, 3], window: 64)
  ]

/// Who computes: the processor's bf16 instruction where it has one, and every emulation it runs.
enum BFloat16Kernels: String, CaseIterable, Sendable {
  case native, avx512, avx2, neon, scalar

  /// Those that this processor runs.
  static let available = allCases.filter {
    $0 == .native
      ? Compute.hasNativeBFloat16
      : InstructionSet(rawValue: $0.rawValue).map(InstructionSet.available.contains) ?? false
  }

  func compute(threads: Int) throws -> Compute {
    self == .native
      ? Compute(threads: threads, bfloat16: .native)
      : try Compute(
        threads: threads, instructionSet: #require(InstructionSet(rawValue: rawValue)),
        bfloat16: .emulated)
  }
}

@Suite("Attention with bf16 operands") struct BFloat16AttentionTests {
  @Test(
    "Forward and backward match the reference on rounded operands", arguments: cases,
    BFloat16Kernels.available)
  private func matches(_ c: AttentionCase, kernels: BFloat16Kernels) throws {
    let run = AttentionRun(c)
    run.run(on: try kernels.compute(threads: 2), arithmetic: .bfloat16)
    let (values, bounds) = RoundedAttention(c, run).results()
    // What f32 may add, as for attention in f32.
    let terms = c.dim + ((c.keys ?? c.queries).max() ?? 1)
    let forward = Tolerance.sum(terms: terms, norms: 4)
    let backward = Tolerance.sum(terms: terms * c.heads, norms: 16)
    func expect(
      _ matrix: TestMatrix, _ path: KeyPath<RoundedAttention.Results, [Double]>, _ float32: Double,
      _ name: String
    ) {
      #expect(matrix.gapsAreUntouched, "\(name)")
      let (results, expected) = (matrix.view.elements.map(Double.init), values[keyPath: path])
      for (index, bound) in bounds[keyPath: path].enumerated() {
        let difference = abs(results[index] - expected[index])
        guard difference <= bound + float32 else {
          Issue.record(
            "\(name) \(index) is \(results[index]), not \(expected[index]): off by \(difference), \(bound) + \(float32) allowed"
          )
          return
        }
      }
    }
    expect(run.out, \.out, forward, "out")
    expect(run.logSum, \.logSum, forward, "logSumExp")
    expect(run.dQuery, \.dQuery, backward, "dQuery")
    expect(run.dKey, \.dKey, backward, "dKey")
    expect(run.dValue, \.dValue, backward, "dValue")
  }

  @Test("The number of threads does not change a bit", arguments: cases, BFloat16Kernels.available)
  private func threads(_ c: AttentionCase, kernels: BFloat16Kernels) throws {
    let runs = try [1, 2, 13].map { threads in
      let run = AttentionRun(c)
      run.run(on: try kernels.compute(threads: threads), arithmetic: .bfloat16)
      return run.allBits
    }
    #expect(runs[0] == runs[1])
    #expect(runs[0] == runs[2])
  }

  @Test("A sequence's results are its own, whatever else is in the call")
  func alone() {
    let random = AttentionCase(heads: 4, keyValueHeads: 2, dim: 24, queries: [77])
    let compute = Compute(threads: 1)
    let single = AttentionRun(random)
    single.run(on: compute, arithmetic: .bfloat16)
    let pair = AttentionRun(AttentionCase(heads: 4, keyValueHeads: 2, dim: 24, queries: [50, 77]))
    for (matrix, other) in [
      (pair.query, single.query), (pair.key, single.key), (pair.value, single.value),
      (pair.dOut, single.dOut),
    ] {
      matrix.view.rows(50..<127).copy(from: other.view)
    }
    pair.run(on: compute, arithmetic: .bfloat16)
    for (matrix, other) in [
      (pair.out, single.out), (pair.dQuery, single.dQuery), (pair.dKey, single.dKey),
      (pair.dValue, single.dValue),
    ] {
      #expect(matrix.view.rows(50..<127).elements == other.view.elements)
    }
  }

  @Test("A prefix keeps all of attention in f32")
  func prefix() {
    let c = AttentionCase(heads: 4, keyValueHeads: 2, dim: 64, queries: [66, 10], prefix: 7)
    let bits = [Arithmetic.float32, .bfloat16].map { arithmetic in
      let run = AttentionRun(c)
      run.run(on: Compute(threads: 1), arithmetic: arithmetic)
      return run.allBits
    }
    #expect(bits[0] == bits[1])
  }

  @Test(
    "A query at a time over cached keys gives what all at once give",
    arguments: Compute.hasNativeBFloat16 ? [true, false] : [false])
  func generation(isNative: Bool) {
    let (dim, length) = (16, 90)
    let whole = AttentionRun(
      AttentionCase(heads: 4, keyValueHeads: 2, dim: dim, queries: [length]))
    let compute = Compute(threads: 1, bfloat16: isNative ? .native : .emulated)
    whole.run(on: compute, arithmetic: .bfloat16, backward: false)
    let shape = AttentionShape(headCount: 4, keyValueHeadCount: 2, headDim: dim, scale: 0.25)
    // Both round probabilities, at scales of their own, which moves either by no more than the
    // roundoff times the greatest value.
    let greatest = Double(whole.value.view.elements.map(abs).max() ?? 0)
    let allowed = 2 * Tolerance.bfloat16Roundoff * greatest + 2e-6
    for position in 0..<length {
      let (out, logSum) = (TestMatrix(1, 4 * dim), TestMatrix(1, 4))
      let (queries, keys) = (IndexBuffer([0, 1]), IndexBuffer([0, position + 1]))
      Attention.forward(
        query: whole.query.view.rows(position..<(position + 1)),
        key: whole.key.view.rows(0..<(position + 1)),
        value: whole.value.view.rows(0..<(position + 1)), prefix: nil,
        spans: SequenceSpans(queryOffsets: queries.all, keyOffsets: keys.all), shape: shape,
        arithmetic: .bfloat16, into: out.view, logSumExp: logSum.view, on: compute)
      let expected = whole.out.view.rows(position..<(position + 1)).elements.map(Double.init)
      #expect(firstDifference(out.view, expected, allowed: allowed) == nil)
      // Scores are the same products of rounded numbers.
      let sums = whole.logSum.view.rows(position..<(position + 1)).elements.map(Double.init)
      #expect(firstDifference(logSum.view, sums, allowed: 2e-6) == nil)
    }
  }
}
