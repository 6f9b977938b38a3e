import Kernels
import Tensors
import TestSupport
import Testing

@Suite("Embedding") struct EmbeddingTests {
  @Test("Rows are looked up in every stored type", arguments: ElementType.allCases)
  func forward(type: ElementType) {
    let compute = Compute(threads: 2)
    let random = SeededRandom(31)
    for (count, hidden) in [(1, 1), (5, 19), (150, 64)] {
      let table = TestWeight(random, input: hidden, output: 23, type: type)
      let tokens = random.indices(count, below: 23)
      let expected = (0..<count).flatMap { t in
        table.values[tokens.all[t] * hidden..<(tokens.all[t] + 1) * hidden]
      }
      for adding in [false, true] {
        let x = TestMatrix(count, hidden, rowStride: hidden + 2, filled: adding ? 1 : .nan)
        Embedding.forward(
          tokens.all, table: table.matrix, into: x.view, adding: adding, on: compute)
        #expect(
          firstDifference(x.view, expected.map { $0 + (adding ? 1 : 0) }, allowed: 1e-6) == nil)
        #expect(x.gapsAreUntouched)
      }
    }
  }

  @Test("A token that comes more than once gathers all its gradients")
  func backward() {
    let random = SeededRandom(32)
    let (count, hidden) = (40, 300)
    let tokens = random.indices(count, below: 5)
    let dx = random.matrix(count, hidden, rowStride: hidden + 1)
    var expected = [Double](repeating: 2, count: 5 * hidden)
    for t in 0..<count {
      for c in 0..<hidden { expected[tokens.all[t] * hidden + c] += Double(dx.view[t, c]) }
    }
    var bits: [[UInt32]] = []
    for threads in 1...4 {
      let dTable = TestMatrix(5, hidden, rowStride: hidden + 4, filled: 2)
      Embedding.backward(
        dx.view, tokens: tokens.all, addingTo: dTable.view, on: Compute(threads: threads))
      #expect(firstDifference(dTable.view, expected, allowed: 1e-4) == nil)
      bits.append(dTable.bits)
    }
    #expect(bits.allSatisfy { $0 == bits[0] })
  }
}
