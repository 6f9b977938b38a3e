import Kernels
import TestSupport
import Testing

@Suite("Product") struct ProductTests {
  @Test(
    "A product matches the reference with either operand transposed",
    arguments: [[1, 1, 1], [3, 16, 7], [70, 300, 16], [16, 129, 300], [300, 16, 500]])
  func product(shape: [Int]) {
    let compute = Compute(threads: 2)
    let random = SeededRandom(21)
    let (m, k, n) = (shape[0], shape[1], shape[2])
    for (aTransposed, bTransposed) in [(false, false), (true, false), (false, true), (true, true)] {
      let a = aTransposed ? random.matrix(k, m, rowStride: m + 1) : random.matrix(m, k)
      let b =
        bTransposed ? random.matrix(n, k, rowStride: k + 2) : random.matrix(k, n, rowStride: n + 1)
      let reference = referenceProduct(
        a.doubles, b.doubles, m: m, k: k, n: n, aTransposed: aTransposed,
        bTransposed: bTransposed)
      for adding in [false, true] {
        let c = TestMatrix(m, n, rowStride: n + 3, filled: adding ? 0.25 : .nan)
        Product.multiply(
          a.view, transposed: aTransposed, by: b.view, transposed: bTransposed, into: c.view,
          scale: 0.75, adding: adding, on: compute)
        let expected = reference.map { 0.75 * $0 + (adding ? 0.25 : 0) }
        let allowed = Tolerance.sum(terms: k, norms: 4 * Double(k).squareRoot() + 4)
        #expect(firstDifference(c.view, expected, allowed: allowed) == nil)
        #expect(c.gapsAreUntouched)
      }
    }
  }

  @Test("A sum of no terms is zero, or leaves what it is added to")
  func emptySum() {
    let compute = Compute(threads: 1)
    let (a, b) = (TestMatrix(2, 0), TestMatrix(0, 3))
    let c = TestMatrix(2, 3, filled: 5)
    Product.multiply(a.view, by: b.view, into: c.view, adding: true, on: compute)
    #expect(c.view.elements == [5, 5, 5, 5, 5, 5])
    Product.multiply(a.view, by: b.view, into: c.view, on: compute)
    #expect(c.view.elements == [0, 0, 0, 0, 0, 0])
  }

  @Test("The result is the same to the last bit for any number of threads")
  func sameBits() {
    let random = SeededRandom(22)
    for (m, k, n) in [(512, 700, 16), (16, 512, 900), (333, 16, 410)] {
      let (a, b) = (random.matrix(m, k), random.matrix(k, n))
      let results = (1...4).map { threads in
        let c = TestMatrix(m, n, rowStride: n + threads - 1)
        Product.multiply(a.view, by: b.view, into: c.view, on: Compute(threads: threads))
        return c.bits
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }

  @Test("A sum over many tokens is the same to the last bit for any number of threads")
  func sumOverTokens() {
    let random = SeededRandom(23)
    for (m, k, n) in [(16, 1100, 600), (600, 1100, 16), (70, 600, 90), (64, 1024, 5000)] {
      let (a, b) = (random.matrix(k, m, rowStride: m + 3), random.matrix(k, n, rowStride: n + 1))
      let reference = referenceProduct(a.doubles, b.doubles, m: m, k: k, n: n, aTransposed: true)
      let results = (1...5).map { threads in
        let c = TestMatrix(m, n, rowStride: n + threads - 1, filled: 0.25)
        Product.multiply(
          a.view, transposed: true, by: b.view, into: c.view, scale: 0.75, adding: true,
          on: Compute(threads: threads))
        let expected = reference.map { 0.75 * $0 + 0.25 }
        let allowed = Tolerance.sum(terms: k, norms: 4 * Double(k).squareRoot() + 4)
        #expect(firstDifference(c.view, expected, allowed: allowed) == nil)
        #expect(c.gapsAreUntouched)
        return c.bits
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }
}
