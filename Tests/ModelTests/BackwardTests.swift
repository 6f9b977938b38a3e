import Kernels
import Model
import Tensors
import TestSupport
import Testing

/// Properties of a backward pass that no reference is needed for.
@Suite("Backward of the decoder")
struct BackwardTests {
  /// Gradients of every weight, bit for bit.
  private func gradients(
    _ base: String, threads: Int, recomputes: Bool = false, arithmetic: Arithmetic = .float32
  ) throws -> (loss: Double, bits: [UInt32]) {
    let decoder = try Decoder(directory: Fixtures.model(base), arithmetic: arithmetic)
    var plan = ParameterArenaPlan()
    let slots = decoder.parameters.map { plan.declare($0.name, shape: $0.shape) }
    let arena = ParameterArena(plan)
    for slot in slots {
      try decoder.makeTrainable(
        parameter: slot.name, values: arena.values(slot), gradient: arena.gradients(slot))
    }
    let inputs = try GoldenInputs()
    try decoder.prepare(
      for: .training(recomputesActivations: recomputes), maximumTokens: inputs.tokenCount,
      maximumSequences: inputs.tokens.count)
    let batch = decoder.makeBatch(
      maximumTokens: inputs.tokenCount, maximumSequences: inputs.tokens.count)
    fill(batch, with: inputs)
    let sum = decoder.forwardBackward(
      Pass(batch: batch, compute: Compute(threads: threads), isTraining: true))
    return (sum.loss, arena.allGradientElements.map(\.bitPattern))
  }

  @Test(
    "Gradients are the same to the last bit for any number of threads",
    arguments: Fixtures.families, [2, 5])
  func threads(_ base: String, _ count: Int) throws {
    let alone = try gradients(base, threads: 1)
    let many = try gradients(base, threads: count)
    #expect(alone.loss == many.loss && alone.bits == many.bits)
  }

  @Test(
    "Recomputed activations give the same gradients to the last bit",
    arguments: Fixtures.families)
  func recomputation(_ base: String) throws {
    let kept = try gradients(base, threads: 1)
    let recomputed = try gradients(base, threads: 1, recomputes: true)
    #expect(kept.loss == recomputed.loss && kept.bits == recomputed.bits)
  }

  /// A pass with norms alone trained, so that every product is of a frozen weight.
  private func trainingNorms(
    _ base: String, _ arithmetic: Arithmetic, threads: Int = 1, recomputes: Bool = false
  ) throws -> (loss: Double, gradients: [Float], plannedBytes: Int, evaluated: Double) {
    let decoder = try Decoder(directory: Fixtures.model(base), arithmetic: arithmetic)
    let norms = decoder.parameters.filter {
      $0.name.contains("norm") || $0.name.contains("ln_")
    }
    var plan = ParameterArenaPlan()
    let slots = norms.map { plan.declare($0.name, shape: $0.shape) }
    let arena = ParameterArena(plan)
    for slot in slots {
      try decoder.makeTrainable(
        parameter: slot.name, values: arena.values(slot), gradient: arena.gradients(slot))
    }
    let inputs = try GoldenInputs()
    let (tokens, sequences) = (inputs.tokenCount, inputs.tokens.count)
    let planned = try decoder.prepare(
      for: .training(recomputesActivations: recomputes), maximumTokens: tokens,
      maximumSequences: sequences)
    let batch = decoder.makeBatch(maximumTokens: tokens, maximumSequences: sequences)
    fill(batch, with: inputs)
    let compute = Compute(threads: threads)
    let sum = decoder.forwardBackward(Pass(batch: batch, compute: compute, isTraining: true))
    try decoder.prepare(for: .inference, maximumTokens: tokens, maximumSequences: sequences)
    let evaluated = decoder.evaluate(Pass(batch: batch, compute: compute, isTraining: false))
    return (sum.loss, arena.allGradientElements, planned.byteCount, evaluated.loss)
  }

  @Test(
    "In bf16 feed-forward keeps rounded numbers, which its result does not show",
    arguments: ["llama", "qwen3", "gpt2"])
  func keptRounded(_ base: String) throws {
    let exact = try trainingNorms(base, .float32)
    let rounded = try trainingNorms(base, .bfloat16)
    // Inference keeps nothing, so its loss is that of the operands as they were.
    #expect(rounded.loss == rounded.evaluated)
    #expect(exact.loss == exact.evaluated)
    // Rounding is 2⁻⁹ a number, at random, several times a block.
    let size = exact.gradients.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    let error = zip(exact.gradients, rounded.gradients).reduce(0) {
      $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1)
    }.squareRoot()
    #expect(error > 0 && error < 0.02 * size, "\(error / size)")
    for (threads, recomputes) in [(3, false), (1, true), (2, true)] {
      let other = try trainingNorms(base, .bfloat16, threads: threads, recomputes: recomputes)
      #expect(other.loss == rounded.loss && other.gradients == rounded.gradients)
    }
    // Two matrices in Llama's blocks, one in GPT-2's.
    let decoder = try Decoder(directory: Fixtures.model(base))
    let c = decoder.configuration
    let rows = try c.blockCount * GoldenInputs().tokenCount * (base == "gpt2" ? 1 : 2)
    let columns = c.intermediateSize
    let spared = MatrixView.operandStride(columns: columns) - RoundedView.floatColumns(columns)
    let saved = exact.plannedBytes - rounded.plannedBytes
    #expect(abs(saved - 4 * rows * spared) <= c.blockCount * 2 * 64)
  }
}
