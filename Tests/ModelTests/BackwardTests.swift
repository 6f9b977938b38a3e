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
      try decoder.train(
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
    return (sum.loss, arena.allGradients.elements.map(\.bitPattern))
  }

  @Test(
    "Gradients are the same to the last bit for any number of threads",
    arguments: ["llama", "qwen3", "gpt2"], [2, 3, 5])
  func threads(_ base: String, _ count: Int) throws {
    let alone = try gradients(base, threads: 1)
    let many = try gradients(base, threads: count)
    #expect(alone.loss == many.loss && alone.bits == many.bits)
  }

  @Test(
    "Recomputed activations give the same gradients to the last bit",
    arguments: ["llama", "qwen3", "gpt2"])
  func recomputation(_ base: String) throws {
    let kept = try gradients(base, threads: 1)
    let recomputed = try gradients(base, threads: 1, recomputes: true)
    #expect(kept.loss == recomputed.loss && kept.bits == recomputed.bits)
  }

  @Test("Groups of gradients are reported from the head down, each once")
  func order() throws {
    let decoder = try Decoder(directory: Fixtures.model("llama"))
    var plan = ParameterArenaPlan()
    let slots = decoder.parameters.map { plan.declare($0.name, shape: $0.shape) }
    let arena = ParameterArena(plan)
    for slot in slots {
      try decoder.train(
        parameter: slot.name, values: arena.values(slot), gradient: arena.gradients(slot))
    }
    let inputs = try GoldenInputs()
    try decoder.prepare(
      for: .training(recomputesActivations: false), maximumTokens: inputs.tokenCount,
      maximumSequences: 3)
    let batch = decoder.makeBatch(maximumTokens: inputs.tokenCount, maximumSequences: 3)
    fill(batch, with: inputs)
    var groups: [GradientGroup] = []
    decoder.onGradientsReady = { groups.append($0) }
    _ = decoder.forwardBackward(
      Pass(batch: batch, compute: Compute(threads: 1), isTraining: true))
    let blocks = (0..<decoder.configuration.blockCount).reversed().map(GradientGroup.block)
    #expect(groups == [.head] + blocks + [.embedding])
  }
}
