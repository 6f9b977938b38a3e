import Kernels
import Tensors
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The rows' cross-entropies in `Double`, for a head stored [V, H] or, transposed, [H, V].
private func referenceLosses(
  _ hidden: [Double], _ weight: [Double], bias: [Double], targets: [Int], hiddenSize: Int,
  layout: WeightMatrix.Layout, scaling: HeadLoss.Scaling = HeadLoss.Scaling()
) -> (losses: [Double], correct: Int) {
  let vocabulary = bias.count
  let logits = referenceProduct(
    hidden, weight, m: targets.count, k: hiddenSize, n: vocabulary,
    bTransposed: layout == .outputMajor)
  var losses: [Double] = []
  var correct = 0
  for (row, target) in targets.enumerated() {
    let (scale, cap) = (Double(scaling.scale), Double(scaling.softCap))
    let x = (0..<vocabulary).map { word in
      let logit = scale * (logits[row * vocabulary + word] + bias[word])
      return cap == 0 ? logit : cap * tanh(logit / cap)
    }
    let greatest = x.max() ?? 0
    losses.append(log(x.reduce(0) { $0 + exp($1 - greatest) }) + greatest - x[target])
    correct += x.firstIndex(of: greatest) == target ? 1 : 0
  }
  return (losses, correct)
}

@Suite("HeadLoss") struct HeadLossTests {
  let compute = Compute(threads: 2)

  @Test(
    "The loss matches the reference over several chunks", arguments: [0, 1, 5, 256, 300],
    ElementType.allCases)
  func loss(rows: Int, type: ElementType) {
    let random = SeededRandom(41)
    let (hiddenSize, vocabulary) = (19, 133)
    let head = TestWeight(random, input: hiddenSize, output: vocabulary, type: type)
    let hidden = random.matrix(rows, hiddenSize, rowStride: hiddenSize + 4)
    let bias = random.matrix(1, vocabulary)
    let targets = random.indices(rows, below: vocabulary)
    let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: vocabulary), filled: .nan)
    let reference = referenceLosses(
      hidden.doubles, head.values, bias: bias.doubles,
      targets: (0..<rows).map { targets.all[$0] }, hiddenSize: hiddenSize, layout: .outputMajor)
    let sum = reference.losses.reduce(0, +)
    var correct = 0
    let dHidden = TestMatrix(rows, hiddenSize, rowStride: hiddenSize + 1, filled: .nan)
    let trained = HeadLoss.forward(
      hidden.view, targets: targets.all, weight: head.matrix, bias: bias.view,
      dHidden: dHidden.view, dWeight: nil, dBias: nil, scratch: scratch.view, correct: &correct,
      on: compute)
    let evaluated = HeadLoss.forward(
      hidden.view, targets: targets.all, weight: head.matrix, bias: bias.view, dHidden: nil,
      dWeight: nil, dBias: nil, scratch: scratch.view, on: compute)
    #expect(abs(trained - sum) <= 1e-6 * sum)
    #expect(trained == evaluated)
    #expect(correct == reference.correct)
    #expect(dHidden.view.elements.allSatisfy { $0.isFinite })
    #expect(dHidden.gapsAreUntouched)
  }

  private static let scalings = [
    HeadLoss.Scaling(), HeadLoss.Scaling(scale: 0.3), HeadLoss.Scaling(softCap: 1.5),
    HeadLoss.Scaling(scale: 1.7, softCap: 0.8),
  ]

  @Test("Every gradient matches central differences", arguments: [1, 7, 12], scalings)
  func gradients(rows: Int, scaling: HeadLoss.Scaling) {
    let random = SeededRandom(42)
    let (hiddenSize, vocabulary) = (5, 11)
    for layout in [WeightMatrix.Layout.outputMajor, .inputMajor] {
      let head = TestWeight(random, input: hiddenSize, output: vocabulary, layout: layout)
      let hidden = random.matrix(rows, hiddenSize)
      let bias = random.matrix(1, vocabulary)
      let targets = random.indices(rows, below: vocabulary)
      let ids = (0..<rows).map { targets.all[$0] }
      let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: vocabulary))
      let dHidden = TestMatrix(rows, hiddenSize, filled: .nan)
      let dWeight = TestMatrix(head.matrix.storedRows, head.matrix.storedColumns, filled: 1)
      let dBias = TestMatrix(1, vocabulary, filled: -2)
      _ = HeadLoss.forward(
        hidden.view, targets: targets.all, weight: head.matrix, bias: bias.view,
        dHidden: dHidden.view, dWeight: dWeight.view, dBias: dBias.view, scaling: scaling,
        scratch: scratch.view, on: compute)
      func loss(_ hidden: [Double], _ weight: [Double], _ bias: [Double]) -> Double {
        referenceLosses(
          hidden, weight, bias: bias, targets: ids, hiddenSize: hiddenSize, layout: layout,
          scaling: scaling
        ).losses.reduce(0, +)
      }
      let byHidden = numericalGradient(at: hidden.doubles) { loss($0, head.values, bias.doubles) }
      let byWeight = numericalGradient(at: head.values) { loss(hidden.doubles, $0, bias.doubles) }
      let byBias = numericalGradient(at: bias.doubles) { loss(hidden.doubles, head.values, $0) }
      #expect(firstDifference(dHidden.view, byHidden, allowed: 1e-5) == nil)
      #expect(firstDifference(dWeight.view, byWeight.map { $0 + 1 }, allowed: 1e-5) == nil)
      #expect(firstDifference(dBias.view, byBias.map { $0 - 2 }, allowed: 1e-5) == nil)
    }
  }

  @Test("Logits alone are scaled and capped as the loss has them")
  func scaledLogits() {
    let logits = TestMatrix(2, 19, rowStride: 23)
    for t in 0..<2 { for c in 0..<19 { logits.view[t, c] = Float(19 * t + c - 18) } }
    let before = logits.doubles
    HeadLoss.Scaling(scale: 0.5, softCap: 3).apply(logits.view, on: compute)
    let expected = before.map { 3 * tanh(0.5 * $0 / 3) }
    #expect(firstDifference(logits.view, expected, allowed: 1e-6) == nil)
    #expect(logits.gapsAreUntouched)
    HeadLoss.Scaling().apply(logits.view, on: compute)
    #expect(firstDifference(logits.view, expected, allowed: 1e-6) == nil)
  }

  @Test("A sure prediction loses nothing and a hopeless one all, without overflow")
  func extremes() {
    let head = TestMatrix(3, 1)
    head.view.assign([400, 0, -400])
    let hidden = TestMatrix(2, 1, filled: 1)
    let targets = IndexBuffer([0, 2])
    let dHidden = TestMatrix(2, 1)
    let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: 3))
    let loss = HeadLoss.forward(
      hidden.view, targets: targets.all, weight: WeightMatrix(head.view), bias: nil,
      dHidden: dHidden.view, dWeight: nil, dBias: nil, scratch: scratch.view, on: compute)
    #expect(loss == 800)
    #expect(dHidden.view.elements == [0, 800])
  }

  @Test("Probabilities are within 4 units in the last place over the exponential's range")
  func exponential() throws {
    // Two words with logits 0 and d < 0: the second one's gradient is e^d / (1 + e^d). Two of the
    // units are the exponential's, the others the quotient's.
    let count = 20_000
    let head = TestMatrix(2, 1)
    head.view.assign([0, 1])
    let hidden = TestMatrix(count, 1)
    hidden.view.assign((0..<count).map { -103 * Float($0) / Float(count) })
    let targets = IndexBuffer(count: count)
    let dHidden = TestMatrix(count, 1)
    let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: 2))
    for set in InstructionSet.available {
      _ = HeadLoss.forward(
        hidden.view, targets: targets.all, weight: WeightMatrix(head.view), bias: nil,
        dHidden: dHidden.view, dWeight: nil, dBias: nil, scratch: scratch.view,
        on: try Compute(threads: 1, instructionSet: set))
      let worst =
        (0..<count).map { row in
          let e = exp(Double(hidden.view[row, 0]))
          let expected = e / (1 + e)
          return abs(Double(dHidden.view[row, 0]) - expected) / Double(Float(expected).ulp)
        }.max() ?? .infinity
      #expect(worst <= 4, "\(set)")
    }
  }

  @Test("Loss and gradient are the same to the last bit for any number of threads")
  func sameBits() {
    let random = SeededRandom(43)
    let (rows, hiddenSize, vocabulary) = (270, 40, 1000)
    let head = TestWeight(random, input: hiddenSize, output: vocabulary, type: .bfloat16)
    let hidden = random.matrix(rows, hiddenSize)
    let targets = random.indices(rows, below: vocabulary)
    let scratch = TestMatrix(1, HeadLoss.scratchCount(vocabularySize: vocabulary))
    for arithmetic in [Arithmetic.float32, .bfloat16] {
      let results = (1...4).map { threads in
        let dHidden = TestMatrix(rows, hiddenSize)
        let dWeight = TestMatrix(vocabulary, hiddenSize)
        let loss = HeadLoss.forward(
          hidden.view, targets: targets.all, weight: head.matrix, bias: nil,
          dHidden: dHidden.view, dWeight: dWeight.view, dBias: nil, scratch: scratch.view,
          arithmetic: arithmetic, on: Compute(threads: threads))
        return (loss, dHidden.bits, dWeight.bits)
      }
      let same = results.allSatisfy { $0 == results[0] }
      #expect(same)
    }
  }
}
