import JSON
import TestSupport
import Testing
import Training

/// Options of a run that change what is trained: each changes it.
@Suite("Effects of the optimiser's options")
struct OptimizerOptionTests {
  private static let plain: [String: JSONValue] = ["max_steps": 6, "weight_decay": 0.1]

  @Test(
    "Another value trains another adapter",
    arguments: [
      ("optimizer", "sgd"), ("learning_rate", 0.02), ("adam_beta1", 0.5), ("adam_beta2", 0.9),
      ("adam_epsilon", 1e-3), ("weight_decay", 0.5), ("max_grad_norm", 1e-3),
      ("lr_scheduler_type", "constant"), ("warmup_steps", 3), ("warmup_ratio", 0.5), ("seed", 4),
      ("no_shuffle", true), ("max_length", 4), ("global_batch_size", 2), ("max_steps", 5),
    ] as [(String, JSONValue)])
  func effect(_ key: String, _ value: JSONValue) throws {
    let plain = try Self.train([:])
    #expect(try Self.train([:]) == plain)
    #expect(try Self.train([key: value]) != plain)
  }

  private static func train(_ values: [String: JSONValue]) throws -> [Float] {
    let tiny = try TinyRun()
    return try withExtendedLifetime(tiny) {
      let run = try tiny.open(plain.merging(values) { $1 })
      _ = try Trainer(run).train()
      return run.attached.arena.allValueElements
    }
  }
}
