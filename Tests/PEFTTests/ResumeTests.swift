import PEFT
import TestSupport
import Testing

/// Going on from a checkpoint's tensors and state.
@Suite("Resuming a method")
struct ResumeTests {
  @Test(
    "A run cut in the middle of its schedule ends as the uninterrupted one, bit for bit",
    arguments: cases, [3, 6])
  func resume(_ name: String, at cut: Int) throws {
    let golden = try GoldenCase(name)
    let whole = try GoldenRun(golden)
    let first = try GoldenRun(golden)
    for step in 1...cut { take(first, step) }
    let second = try GoldenRun(golden)
    try second.resume(from: first)
    for step in 1...golden.losses.count {
      take(whole, step)
      if step > cut { take(second, step) }
    }
    for slot in whole.arena.slots {
      #expect(
        whole.arena.valueElements(slot) == second.arena.valueElements(slot), "\(slot.name)")
    }
  }

  static let cases = [
    "adalora-llama", "adalora-llama-clip", "p-tuning-llama-lstm-2", "p-tuning-gpt2-mlp",
    "prefix-tuning-qwen3-projection", "bottleneck-llama", "lora-llama-dora", "miss-llama-bat",
    "prompt-tuning-llama", "ia3-llama", "llama-adapter-llama", "full-llama-tied",
    "lora-llama-tied-ensured-clip", "lora-llama-tied-tokens", "lora-llama-table-dora",
  ]

  @Test("Every method is resumed")
  func everyMethod() throws {
    let methods = Set(try Self.cases.map { try GoldenCase($0).method })
    #expect(methods == MethodCase.methods)
  }

  private func take(_ run: GoldenRun, _ step: Int) {
    _ = run.gradients(step: step)
    run.update(step: step)
  }
}
