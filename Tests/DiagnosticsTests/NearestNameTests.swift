import Diagnostics
import Testing

@Suite("The nearest known name") struct NearestNameTests {
  private let known = ["learning_rate", "max_grad_norm", "seed", "target_modules"]

  @Test(
    "A slip, two letters swapped, and a name cut short or run on are understood",
    arguments: [
      ("learning_rat", "learning_rate"), ("laerning_rate", "learning_rate"), ("sede", "seed"),
      ("target_module", "target_modules"), ("max_grad", "max_grad_norm"), ("seed_value", "seed"),
    ])
  func near(name: String, nearest: String) {
    #expect(nearestName(to: name, among: known) == nearest)
  }

  @Test("A name that is unlike all is given none", arguments: ["warmup", "xyz", ""])
  func far(name: String) {
    #expect(nearestName(to: name, among: known) == nil)
  }
}
