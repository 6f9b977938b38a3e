import Foundation
import JSON
import PEFT
import TestSupport
import Testing

/// Every method against its reference on tiny models: loss, every gradient, the training run.
@Suite("Golden runs")
struct GoldenTests {
  static let cases = GoldenCase.names("")

  /// Methods that a reference knows on every family.
  private static let everywhere: Set<String> = [
    "lora", "adalora", "ia3", "prompt-tuning", "p-tuning", "prefix-tuning", "bottleneck",
  ]

  @Test("Every golden run that was made is there, every method's and every family's")
  func everyMethodHasCases() throws {
    let expected = try #require(Fixtures.json("manifest.json")["peft"]?.object)
    var found: [String: JSONValue] = [:]
    var methods: [String: Set<String>] = [:]
    for name in Self.cases {
      let golden = try GoldenCase(name)
      found[name] = ["base": .string(golden.base), "method": .string(golden.method)]
      methods[golden.family, default: []].insert(golden.method)
    }
    #expect(found == expected)
    #expect(Set(methods.values.flatMap(\.self)) == Set(PEFTMethods.names))
    for family in Fixtures.families {
      #expect(methods[family]?.isSuperset(of: Self.everywhere) ?? false, "\(family)")
    }
  }

  @Test("The start's loss and every gradient equal the reference", arguments: cases)
  func lossAndGradients(_ name: String) throws {
    let golden = try GoldenCase(name)
    let run = try GoldenRun(golden)
    #expect(run.arena.parameterCount == golden.trainableParameters)
    let loss = run.gradients(step: 1)
    #expect(abs(loss - golden.loss) <= 1e-5 * golden.loss, "loss \(loss), not \(golden.loss)")
    let expected = try golden.golden()
    let slots = run.arena.slots.filter(\.role.isOptimized)
    #expect(
      Set(slots.map { "grad." + $0.name }) == Set(expected.keys.filter { $0.hasPrefix("grad.") }))
    for slot in slots {
      let gradient = try #require(expected["grad.\(slot.name)"], "no gradient of \(slot.name)")
      let error = relativeError(
        run.arena.gradientElements(slot).map(Double.init), gradient.values.map(Double.init))
      #expect(error <= 1e-4, "gradient of \(slot.name) is off by \(error) of its norm")
    }
  }

  @Test(
    "In bf16 the loss and every gradient are off by what rounding does, no more and no less",
    arguments: cases)
  func bfloat16(_ name: String) throws {
    let golden = try GoldenCase(name)
    let exact = try GoldenRun(golden)
    let rounded = try GoldenRun(golden, arithmetic: .bfloat16)
    let (loss, roundedLoss) = (exact.gradients(step: 1), rounded.gradients(step: 1))
    // A token between two experts that are near goes where rounding sends it: then all else differs.
    let loads = exact.decoder.expertLoads
    let (moved, choices) = (moves(loads, rounded.decoder.expertLoads), loads.joined().reduce(0, +))
    #expect(moved * 20 <= choices, "\(moved) of \(choices) choices are others")
    guard moved == 0 else { return }
    #expect(abs(roundedLoss - loss) <= Tolerance.bfloat16Roundoff * loss, "\(roundedLoss), \(loss)")
    // Six products in succession in a block, forwards and backwards, and the head's two.
    let allowed = Tolerance.bfloat16(
      productsInSuccession: 2 * (6 * exact.decoder.configuration.blockCount + 1))
    var whole = (result: [Double](), expected: [Double]())
    for slot in exact.arena.slots where slot.role.isOptimized {
      let expected = exact.arena.gradientElements(slot).map(Double.init)
      let result = rounded.arena.gradientElements(slot).map(Double.init)
      let error = relativeError(result, expected)
      #expect(error <= allowed, "gradient of \(slot.name) is off by \(error) of its norm")
      whole.result += result
      whole.expected += expected
    }
    // One rounded operand alone is off by some u/3 of its norm: less, and nothing was rounded.
    let error = relativeError(whole.result, whole.expected)
    #expect(error >= Tolerance.bfloat16Roundoff / 3, "the gradients are f32's")
  }

  /// How many tokens' experts differ, at least.
  private func moves(_ a: [[Int]], _ b: [[Int]]) -> Int {
    zip(a.flatMap(\.self), b.flatMap(\.self)).reduce(0) { $0 + max($1.0 - $1.1, 0) }
  }

  @Test("Training goes the way of the reference", arguments: cases)
  func training(_ name: String) throws {
    let golden = try GoldenCase(name)
    let run = try GoldenRun(golden)
    // The case has read as many losses as norms, and at least one.
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
    #expect(
      Set(run.arena.slots.filter(\.role.isOptimized).map(\.name)) == Set(expected.keys))
    for slot in run.arena.slots where slot.role.isOptimized {
      let tensor = try #require(expected[slot.name], "no final \(slot.name)")
      let error = relativeError(
        run.arena.valueElements(slot).map(Double.init), tensor.values.map(Double.init))
      // A shift of all keys cancels in the softmax but for their rotation, so a key bias has hardly
      // a gradient; Adam divides by its size and so enlarges the rounding errors of both sides.
      let isKeyBias = slot.name.contains(".k_proj.") && slot.name.hasSuffix(".bias")
      let allowed = isKeyBias ? 1e-2 : 1e-3
      #expect(error <= allowed, "final \(slot.name) is off by \(error) of its norm")
    }
  }
}
