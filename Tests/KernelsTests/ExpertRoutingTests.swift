import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Routing to experts") struct ExpertRoutingTests {
  private let tokens = 37
  private let experts = 9
  private let chosen = 4

  /// Logits' probabilities, assignment and their memory.
  private final class Routed {
    let probabilities: TestMatrix
    let weights: TestMatrix
    let assignment: ExpertAssignment
    private let indices: IndexBuffer

    init(_ logits: TestMatrix, chosen: Int, normalizing: Bool, threads: Int = 1) {
      let (tokens, experts) = (logits.view.rows, logits.view.columns)
      probabilities = TestMatrix(copying: logits.view)
      weights = TestMatrix(tokens * chosen, 1)
      indices = IndexBuffer(
        count: ExpertAssignment.indexCount(tokens: tokens, chosen: chosen, experts: experts))
      assignment = ExpertAssignment(
        indices: indices.all, weights: weights.view, tokens: tokens, chosen: chosen,
        experts: experts)
      ExpertRouting.forward(
        probabilities.view, choosing: chosen, normalizing: normalizing, into: assignment,
        on: Compute(threads: threads))
    }

    /// The weight of each pair of a token and an expert; 0 where it was not chosen.
    var dense: [Double] {
      let columns = probabilities.view.columns
      var result = [Double](repeating: 0, count: probabilities.view.count)
      for expert in 0..<columns {
        for row in assignment.rows(of: expert) {
          result[assignment.tokens[row] * columns + expert] = Double(weights.view[row, 0])
        }
      }
      return result
    }
  }

  /// The same by definition.
  private func reference(
    _ logits: [Double], experts: Int, chosen: Int, normalizing: Bool
  ) -> [Double] {
    stride(from: 0, to: logits.count, by: experts).flatMap { start -> [Double] in
      let row = Array(logits[start..<(start + experts)])
      let sum = row.reduce(0) { $0 + PortableMath.exp($1) }
      let p = row.map { PortableMath.exp($0) / sum }
      let kept = Set(p.indices.sorted { (p[$1], $0) < (p[$0], $1) }.prefix(chosen))
      let all = normalizing ? kept.reduce(0) { $0 + p[$1] } : 1
      return p.indices.map { kept.contains($0) ? p[$0] / all : 0 }
    }
  }

  @Test(
    "Each token goes to its likeliest experts, with their probabilities", arguments: [true, false])
  func forward(normalizing: Bool) {
    let logits = SeededRandom(61).matrix(tokens, experts)
    let routed = Routed(logits, chosen: chosen, normalizing: normalizing)
    let expected = reference(
      logits.doubles, experts: experts, chosen: chosen, normalizing: normalizing)
    #expect(firstDifference(routed.dense, expected, allowed: 1e-6) == nil)
    // Rows in ascending order of tokens, all of them dealt out once.
    var rows = 0
    for expert in 0..<experts {
      let range = routed.assignment.rows(of: expert)
      #expect(range.lowerBound == rows)
      rows = range.upperBound
      let own = range.map { routed.assignment.tokens[$0] }
      #expect(own == own.sorted() && Set(own).count == own.count)
    }
    #expect(rows == tokens * chosen)
  }

  @Test("Of equal ones the lower number is taken, and numbers that are none do no harm")
  func ties() {
    let logits = TestMatrix(3, 5)
    for expert in 0..<5 { logits.view[2, expert] = .nan }
    logits.view[1, 3] = 1
    let routed = Routed(logits, chosen: 2, normalizing: true)
    let chosen = (0..<5).map { expert in
      routed.assignment.rows(of: expert).map { routed.assignment.tokens[$0] }
    }
    #expect(chosen == [[0, 1, 2], [0, 2], [], [1], []])
  }

  @Test("The gradient is that of central differences", arguments: [true, false])
  func backward(normalizing: Bool) {
    let (tokens, experts, chosen) = (tokens, experts, chosen)
    let random = SeededRandom(62)
    let logits = random.matrix(tokens, experts)
    let dWeights = random.matrix(tokens * chosen, 1)
    let routed = Routed(logits, chosen: chosen, normalizing: normalizing)
    var dense = [Double](repeating: 0, count: tokens * experts)
    for expert in 0..<experts {
      for row in routed.assignment.rows(of: expert) {
        dense[routed.assignment.tokens[row] * experts + expert] = Double(dWeights.view[row, 0])
      }
    }
    let expected = numericalGradient(at: logits.doubles, times: dense) {
      reference($0, experts: experts, chosen: chosen, normalizing: normalizing)
    }
    ExpertRouting.backward(
      dWeights.view, routed.assignment, choosing: chosen, normalizing: normalizing,
      probabilities: routed.probabilities.view, on: Compute(threads: 1))
    #expect(firstDifference(routed.probabilities.doubles, expected, allowed: 1e-5) == nil)
  }

  @Test("Threads change no bit")
  func threads() {
    // Rows of several blocks.
    let logits = SeededRandom(63).matrix(700, 64)
    let dWeights = SeededRandom(64).matrix(700 * 8, 1)
    var found: [([UInt32], [UInt32])] = []
    for threads in 1...3 {
      let routed = Routed(logits, chosen: 8, normalizing: true, threads: threads)
      ExpertRouting.backward(
        dWeights.view, routed.assignment, choosing: 8, normalizing: true,
        probabilities: routed.probabilities.view, on: Compute(threads: threads))
      found.append((routed.weights.bits, routed.probabilities.bits))
    }
    #expect(found.allSatisfy { $0.0 == found[0].0 && $0.1 == found[0].1 })
  }

  @Test("Dots of rows, and columns taken out and put back")
  func elementwise() {
    let random = SeededRandom(65)
    let (a, b) = (random.matrix(400, 70, rowStride: 73), random.matrix(400, 70))
    let dots = TestMatrix(400, 1)
    Elementwise.rowDots(a.view, b.view, into: dots.view, on: Compute(threads: 2))
    let expected = (0..<400).map { t in
      (0..<70).reduce(0.0) { $0 + Double(a.view[t, $1]) * Double(b.view[t, $1]) }
    }
    #expect(firstDifference(dots.doubles, expected, allowed: 1e-5) == nil)

    let columns = TestMatrix(400, 7)
    Elementwise.gatherColumns(a.view, from: 3, by: 10, into: columns.view, on: Compute(threads: 2))
    for t in 0..<400 {
      for j in 0..<7 { #expect(columns.view[t, j] == a.view[t, 3 + 10 * j]) }
    }
    let before = TestMatrix(copying: a.view)
    Elementwise.scatterColumns(
      columns.view, from: 3, by: 10, addingTo: a.view, on: Compute(threads: 2))
    for t in 0..<400 {
      for c in 0..<70 {
        #expect(a.view[t, c] == before.view[t, c] * (c % 10 == 3 ? 2 : 1))
      }
    }
  }
}
