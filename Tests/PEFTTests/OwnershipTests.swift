import Model
import PEFT
import Tensors
import TestSupport
import Testing

/// Who keeps whom: a base has its hooks, which must not have the base.
@Suite("Ownership")
struct OwnershipTests {
  // Full fine-tuning has no adapter file, and no hook.
  private static let cases = GoldenCase.names("").filter { !$0.hasPrefix("full-") }

  @Test("A base with a method is gone when nobody uses it", arguments: cases)
  func released(_ name: String) throws {
    weak var decoder: Decoder?
    weak var arena: ParameterArena?
    weak var method: (any PEFTMethod)?
    do {
      let adapted = try AdaptedBase(try GoldenCase(name))
      _ = try adapted.logits()
      (decoder, arena, method) = (adapted.decoder, adapted.arena, adapted.method)
    }
    #expect(decoder == nil)
    #expect(arena == nil)
    #expect(method == nil)
  }

  @Test("Numbers of an arena that nobody else holds are copied before it goes")
  func copies() {
    func arena() -> ParameterArena {
      var plan = ParameterArenaPlan()
      let slot = plan.declare("tensor", shape: [1000, 10])
      let arena = ParameterArena(plan)
      arena.values(slot).fill(3)
      arena.gradients(slot).fill(4)
      return arena
    }
    #expect(arena().allValueElements.allSatisfy { $0 == 3 || $0 == 0 })
    #expect(arena().allGradientElements.prefix(10_000).allSatisfy { $0 == 4 })
    let slot = arena().slots[0]
    #expect(arena().valueElements(slot) == Array(repeating: 3, count: 10_000))
    #expect(arena().gradientElements(slot) == Array(repeating: 4, count: 10_000))
  }
}
