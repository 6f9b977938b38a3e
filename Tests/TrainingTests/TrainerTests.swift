import Checkpointing
import DataParallel
import Diagnostics
import Foundation
import Hashing
import JSON
import Kernels
import Model
import TestSupport
import Testing
import Training

@Suite("Trainer") struct TrainerTests {
  private let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  @Test("A step of SGD moves each tensor by its rate times its gradient, in order of steps")
  func update() throws {
    let run = try tiny.open([
      "optimizer": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant",
      "max_grad_norm": 0, "max_steps": 3, "weight_decay": 0.0,
    ])
    let trainer = try Trainer(run)
    let arena = run.attached.arena
    var before = arena.allValueElements
    var steps: [Int] = []
    trainer.didEndStep = { step in
      steps.append(step)
      // The gradients are those of the update, sums over tokens divided by their number.
      for (index, gradient) in arena.allGradientElements.enumerated() {
        let expected = before[index] - 0.5 * gradient
        #expect(abs(arena.allValues[0, index] - expected) <= 1e-7 * max(1, abs(expected)))
      }
      before = arena.allValueElements
    }
    let outcome = try trainer.train()
    #expect(steps == [1, 2, 3])
    #expect(outcome.status == .completed)
    #expect(outcome.step == 3 && outcome.exportedStep == 3)
    #expect(outcome.stepSeconds.count == 3)
    let last = try #require(outcome.evalLoss)
    #expect(try tiny.metrics("eval").last?["eval_loss"]?.double == last)
  }

  @Test("The first step's loss is that of the untrained base over the same tokens")
  func loss() throws {
    let run = try tiny.open(["global_batch_size": 9, "max_steps": 1])
    _ = try run.train()
    let found = try #require(try tiny.metrics("step").first?["loss"]?.double)

    // One example after the other through the decoder by itself.
    let decoder = try Decoder(directory: tiny.model)
    try decoder.prepare(for: .inference, maximumTokens: 13, maximumSequences: 1)
    let compute = Compute(threads: 1)
    let batch = decoder.makeBatch(maximumTokens: 13, maximumSequences: 1)
    var sum = LossSum()
    let split = run.dataset.train
    for example in 0..<split.exampleCount {
      let buffer = ExampleBufferReader(split, example)
      batch.clear()
      batch.beginSequence()
      for (token, counts) in buffer.tokens { batch.append(token: token, isTarget: counts) }
      batch.endSequence()
      sum += decoder.evaluate(Pass(batch: batch, compute: compute, isTraining: false))
    }
    #expect(sum.targetCount == split.countedTokenCount)
    #expect(abs(found - sum.loss / Double(sum.targetCount)) < 1e-6 * found)
  }

  @Test("A global batch in which nothing counts changes nothing and is no update")
  func nothingCounts() throws {
    // Example 3 has no counted token.
    let run = try tiny.open([
      "no_shuffle": true, "global_batch_size": 1, "max_steps": 5, "warmup_steps": 0,
    ])
    let trainer = try Trainer(run)
    var states: [UInt64] = []
    trainer.didEndStep = { _ in states.append(XXH64.hash(run.attached.arena.allValues)) }
    _ = try trainer.train()
    #expect(states[3] == states[2])
    let losses = try tiny.metrics("step").map { $0["loss"]?.double }
    #expect(losses.count == 5 && losses[3] == nil && losses[4] != nil)
    for step in 1..<5 {
      #expect((states[step] == states[step - 1]) == (losses[step] == nil), "step \(step + 1)")
    }
  }

  @Test("A run whose loss does not fall stops after as many evaluations as it has patience")
  func earlyStopping() throws {
    let run = try tiny.open([
      "learning_rate": 0.0, "eval_steps": 1, "early_stopping_patience": 2, "max_steps": 9,
    ])
    let outcome = try run.train()
    // The first evaluation is the best, two more are not better.
    #expect(outcome.status == .stoppedEarly)
    #expect(outcome.step == 3)
    #expect(try tiny.metrics("end").first?["status"]?.string == "stopped_early")
  }

  @Test("The best step's tensors are in the arena and in the export at the end")
  func best() throws {
    let run = try tiny.open([
      "learning_rate": 1.0, "eval_steps": 1, "max_steps": 12, "load_best_model_at_end": true,
      "save_total_limit": 1,
    ])
    let trainer = try Trainer(run)
    var states: [Int: UInt64] = [:]
    trainer.didEndStep = { states[$0] = XXH64.hash(run.attached.arena.allValues) }
    let outcome = try trainer.train()
    let losses = try tiny.metrics("eval").map { $0["eval_loss"]?.double ?? .infinity }
    let best = try #require(losses.firstIndex(of: losses.min() ?? 0)) + 1
    #expect(outcome.exportedStep == best)
    try #require(best < 12, "a rate this high must make the best step an earlier one")
    #expect(XXH64.hash(run.attached.arena.allValues) == states[best])
  }

  @Test("A run resumed in the middle goes on with the same bits, steps and best evaluation")
  func resuming() throws {
    let settings: [String: JSONValue] = [
      "max_steps": 6, "save_steps": 3, "eval_steps": 2, "save_total_limit": 0,
      "lora_dropout": 0.1,
    ]
    let whole = try tiny.open(settings)
    _ = try whole.train()
    var again = settings
    again["resume"] = .string(tiny.directory.path("out/checkpoints/step-00000003.h5"))
    let resumed = try tiny.open(again, output: "resumed")
    #expect(resumed.completedSteps == 3)
    let outcome = try resumed.train()
    #expect(outcome.stepSeconds.count == 3)
    #expect(
      resumed.attached.arena.allValueElements == whole.attached.arena.allValueElements)
    func lines(_ output: String) throws -> [String] {
      try tiny.metrics("eval", output: output).suffix(2).map {
        "\($0["step"]?.text() ?? "") \($0["eval_loss"]?.text() ?? "")"
      }
    }
    #expect(try lines("resumed") == lines("out"))
  }

  @Test("A checkpoint of an earlier version goes on where its samples of the base agree, else not")
  func sampledFingerprint() throws {
    let settings: [String: JSONValue] = ["max_steps": 4, "save_steps": 2, "save_total_limit": 0]
    let whole = try tiny.open(settings)
    _ = try whole.train()
    let path = tiny.directory.path("out/checkpoints/step-00000002.h5")
    for (fingerprint, fits) in [
      (whole.decoder.sampledFingerprint, true), ("0123456789abcdef", false),
      ("v2:0123456789abcdef", false),
    ] {
      let reader = try CheckpointReader(path: path)
      var metadata = reader.metadata
      #expect(metadata.baseFingerprint == whole.decoder.fingerprint)
      metadata.baseFingerprint = fingerprint
      var contents = CheckpointContents(metadata: metadata)
      contents.methodAttributes = reader.methodAttributes
      var kept: [TestMatrix] = []
      for section in [CheckpointSection.adapter, .firstMoments, .secondMoments] {
        contents.tensors[section] = try reader.tensorNames(in: section).map { name in
          let shape = try reader.shape(of: name, in: section)
          let matrix = TestMatrix(shape.dropLast().reduce(1, *), shape.last ?? 1)
          matrix.view.assign(try reader.values(of: name, in: section))
          kept.append(matrix)
          return CheckpointTensor(name: name, shape: shape, values: matrix.view)
        }
      }
      let old = tiny.directory.path("old-\(UUID().uuidString).h5")
      try withExtendedLifetime(kept) { try CheckpointWriter.write(contents, to: old) }
      var again = settings
      again["resume"] = .string(old)
      let output = UUID().uuidString
      if fits {
        let resumed = try tiny.open(again, output: output)
        _ = try resumed.train()
        #expect(
          resumed.attached.arena.allValueElements == whole.attached.arena.allValueElements)
      } else {
        let error = try #require(throws: MPIError.self) {
          _ = try tiny.open(again, output: output)
        }
        #expect(error.description.contains("fingerprint"))
        #expect(error.errorClass == .usage)
      }
    }
  }

  @Test("The plan counts what was allocated, to the byte")
  func memory() throws {
    for method in ["lora", "adalora"] {
      let run = try tiny.open(
        ["method": .string(method), "micro_batch_size": 2], output: method)
      let trainer = try Trainer(run)
      let plan = trainer.memoryPlan
      #expect(plan.base == 4 * run.decoder.parameterCount)
      #expect(plan.rounded == 0)
      #expect(plan.workspace > 0 && plan.program > 0 && plan.threads == run.compute.byteCount)
      let extent = run.attached.arena.floatCount
      // Values and gradients, two moments, for AdaLoRA two averages; then the reduction's buffers.
      let arrays = method == "lora" ? 4 : 6
      #expect(run.optimizer.byteCount == 8 * extent)
      #expect(plan.training > 4 * arrays * extent)
      // Two micro-batches a step: one copy of the gradients, and a piece of integers.
      #expect(plan.training <= 4 * arrays * extent + 4 * extent + 8 * extent + 4096)
      #expect(plan.answers == 0)
      #expect(
        plan.total
          == plan.libraries + plan.program + plan.base + plan.rounded + plan.workspace
          + plan.training + plan.threads)
    }
  }
}

@Suite("Best evaluation so far") struct BestSoFarTests {
  @Test("The lowest loss is kept with its step, others are counted, NaN is never the best")
  func order() {
    var best = BestSoFar()
    #expect(best.step == nil && best.lastLoss == nil)
    for (step, loss) in [(1, 2.0), (2, .nan), (3, 1.5), (4, 1.5), (5, 1.75)] {
      best.take(loss: loss, step: step)
    }
    #expect(best.step == 3 && best.loss == 1.5 && best.staleEvaluations == 2)
    #expect(best.lastLoss == 1.75)
  }

  @Test("What a checkpoint keeps is taken back, also of a run without an evaluation")
  func storing() {
    var best = BestSoFar()
    #expect(BestSoFar(stored: .object(best.stored)) == best)
    #expect(BestSoFar(stored: nil) == best)
    best.take(loss: 0.1 + 0.2, step: 7)
    best.take(loss: 3, step: 8)
    let restored = BestSoFar(stored: .object(best.stored))
    #expect(restored.step == 7 && restored.loss == 0.1 + 0.2 && restored.staleEvaluations == 1)
  }

  @Test("Cut by tokens, a step is the same but for the order of sums", arguments: [1, 20, 1000])
  func tokens(limit: Int) throws {
    let tiny = try TinyRun()
    func values(_ settings: [String: JSONValue], _ output: String) throws -> [Float] {
      let run = try tiny.open(settings, output: output)
      _ = try run.train()
      let values = run.attached.arena.allValues
      return (0..<values.rows).flatMap { row in (0..<values.columns).map { values[row, $0] } }
    }
    let sequences = try values(["optimizer": "sgd"], "sequences")
    let tokens = try values(["optimizer": "sgd", "micro_batch_tokens": .int(limit)], "tokens")
    #expect(tokens.count == sequences.count && tokens != sequences || limit == 1)
    for (one, other) in zip(tokens, sequences) {
      #expect(abs(one - other) <= 1e-5 * max(abs(other), 0.01), "\(one) for \(other)")
    }
  }
}
