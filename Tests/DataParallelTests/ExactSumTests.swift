import DataParallel
import Tensors
import Testing

@Suite("ExactSum")
struct ExactSumTests {
  @Test("A sum does not depend on the order of its terms")
  func order() {
    let random = CounterRandom(seed: 12)
    let terms = (0..<200).map { index -> Double in
      let scale = Double(sign: .plus, exponent: index % 60 - 40, significand: 1)
      return (random.uniform(UInt64(index)) - 0.5) * scale
    }
    var forward = ExactSum()
    var backward = ExactSum()
    for term in terms { forward.add(term) }
    for term in terms.reversed() { backward.add(term) }
    #expect(forward == backward)
    #expect(forward.value == backward.value)
    // The plain sum in order differs from the one backwards, so the test could fail.
    #expect(terms.reduce(0, +) != terms.reversed().reduce(0, +))
    #expect((forward.value - terms.reduce(0, +)).magnitude < 1e-9)
  }

  @Test(
    "One term comes back as it is",
    arguments: [0.0, 1, -1, 2.25, -0.1, 1e-9, -1e-9, 3e17, -3e17, 0x1p-64, -0x1p-64, 12345.678])
  func oneTerm(term: Double) {
    var sum = ExactSum()
    sum.add(term)
    // 1e-9 and 0.1 have bits under 2^-64; half of that is what rounding may cost.
    #expect((sum.value - term).magnitude <= max(0x1p-65, term.magnitude * 0x1p-52))
    sum.add(-term)
    #expect(sum.value == 0)
  }

  @Test("Large terms that cancel leave the small one")
  func cancellation() {
    var sum = ExactSum()
    for term in [1e15, 0x1p-40, -1e15] { sum.add(term) }
    #expect(sum.value == 0x1p-40)
  }

  @Test("A term that is not finite or too large makes the sum undefined")
  func notFinite() {
    for term in [Double.nan, .infinity, -.infinity, 0x1p62] {
      var sum = ExactSum()
      sum.add(1)
      sum.add(term)
      #expect(sum.value.isNaN)
    }
  }
}
