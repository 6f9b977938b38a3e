import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Rotary positions")
struct RotaryEmbeddingTests {
  @Test(
    "Heads turn by position times frequency, and turn back", arguments: [2, 8, 10, 64, 80],
    InstructionSet.available)
  func rotates(turning: Int, instructionSet: InstructionSet) throws {
    // Of a head of 10 or 80 features all turn, elsewhere seven do not.
    let dim = turning % 10 == 0 ? turning : turning + 7
    let (rows, heads, half) = (9, 3, turning / 2)
    let frequencies = (0..<half).map { pow(10000, -Double($0) / Double(half)) }
    let table = RotaryTable(
      inverseFrequencies: frequencies, attentionScaling: 1.25, maxPosition: 500)
    let x = SeededRandom(3).matrix(rows, heads * dim, rowStride: heads * dim + 3)
    let positions = IndexBuffer((0..<rows).map { $0 * 61 })
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    let before = x.doubles
    RotaryEmbedding.apply(
      x.view, headCount: heads, positions: positions.all, table: table, on: compute)
    var expected = before
    for t in 0..<rows {
      for head in 0..<heads {
        for d in 0..<half {
          let angle = Double(t * 61) * frequencies[d]
          let (i, j) = (t * heads * dim + head * dim + d, t * heads * dim + head * dim + d + half)
          expected[i] = 1.25 * (before[i] * cos(angle) - before[j] * sin(angle))
          expected[j] = 1.25 * (before[j] * cos(angle) + before[i] * sin(angle))
        }
      }
    }
    #expect(firstDifference(x.view, expected, allowed: 2e-6) == nil)
    #expect(x.gapsAreUntouched)
    // The backward is the transpose: the rotation back, times the scaling once more.
    RotaryEmbedding.applyInverse(
      x.view, headCount: heads, positions: positions.all, table: table, on: compute)
    let back = before.enumerated().map { index, value in
      index % dim < turning ? value * 1.25 * 1.25 : value
    }
    #expect(firstDifference(x.view, back, allowed: 4e-6) == nil)
  }
}
