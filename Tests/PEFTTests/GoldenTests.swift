import Foundation
import PEFT
import TestSupport
import Testing

/// Every method against its reference on tiny models: loss, every gradient, the training run.
@Suite("Golden runs")
struct GoldenTests {
  static let cases = GoldenCase.names("")
    .filter { name in
      guard let golden = try? GoldenCase(name) else { return false }
      return PEFTMethods.names.contains(golden.method)
    }

  @Test("There are golden runs of every method")
  func everyMethodHasCases() throws {
    let methods = Set(try Self.cases.map { try GoldenCase($0).method })
    #expect(methods == Set(PEFTMethods.names))
  }

  @Test("The start's loss and every gradient equal the reference", arguments: cases)
  func lossAndGradients(_ name: String) throws {
    let golden = try GoldenCase(name)
    let run = try GoldenRun(golden)
    #expect(run.arena.parameterCount == golden.description["trainable_parameters"]?.int)
    let loss = run.gradients(step: 1)
    #expect(abs(loss - golden.loss) <= 1e-5 * golden.loss, "loss \(loss), not \(golden.loss)")
    let expected = try golden.golden()
    for slot in run.arena.slots where slot.role.isOptimized {
      let gradient = try #require(expected["grad.\(slot.name)"], "no gradient of \(slot.name)")
      let error = relativeError(
        run.arena.gradients(slot).elements.map(Double.init), gradient.values.map(Double.init))
      #expect(error <= 1e-4, "gradient of \(slot.name) is off by \(error) of its norm")
    }
  }

  @Test("In bf16 the start's loss is within a hundredth of f32's", arguments: cases)
  func bfloat16(_ name: String) throws {
    let golden = try GoldenCase(name)
    let loss = try GoldenRun(golden, arithmetic: .bfloat16).loss()
    #expect(abs(loss - golden.loss) <= 0.01 * golden.loss, "loss \(loss), not \(golden.loss)")
  }

  @Test("Training goes the way of the reference", arguments: cases)
  func training(_ name: String) throws {
    let golden = try GoldenCase(name)
    let run = try GoldenRun(golden)
    for (index, (loss, norm)) in zip(golden.losses, golden.gradientNorms).enumerated() {
      let step = index + 1
      let found = run.gradients(step: step)
      #expect(abs(found - loss) <= 1e-4 * loss, "step \(step): loss \(found), not \(loss)")
      let foundNorm = run.gradientNorm()
      #expect(
        abs(foundNorm - norm) <= 1e-3 * norm, "step \(step): norm \(foundNorm), not \(norm)")
      run.update(step: step)
    }
    let final = run.loss()
    #expect(abs(final - golden.finalLoss) <= 1e-4 * golden.finalLoss)
    let expected = try golden.final()
    for slot in run.arena.slots where slot.role.isOptimized {
      guard let tensor = expected[slot.name] else { continue }
      let error = relativeError(
        run.arena.values(slot).elements.map(Double.init), tensor.values.map(Double.init))
      // A shift of all keys cancels in the softmax but for their rotation, so a key bias has hardly
      // a gradient; Adam divides by its size and so enlarges the rounding errors of both sides.
      let isKeyBias = slot.name.contains(".k_proj.") && slot.name.hasSuffix(".bias")
      let allowed = isKeyBias ? 1e-2 : 1e-3
      #expect(error <= allowed, "final \(slot.name) is off by \(error) of its norm")
    }
  }
}
