import JSON
import Kernels
import Model
import PEFT
import Tensors
import TestSupport
import Testing

/// Every field of every method, set to something else than its default: what the method then does is
/// something else.
@Suite("Effects of fields")
struct FieldEffectTests {
  /// A field with another value than its default.
  struct Effect: Sendable, CustomStringConvertible {
    let method: String
    let field: String
    let value: JSONValue
    /// What else is set, with and without the field.
    var with: [String: JSONValue] = [:]
    var base = "llama"

    var description: String { "\(method), \(field) = \(value.text())" }
  }

  private static func effects(
    _ method: String, with: [String: JSONValue] = [:], base: String = "llama",
    _ values: [String: JSONValue]
  ) -> [Effect] {
    values.map { Effect(method: method, field: $0, value: $1, with: with, base: base) }
  }

  private static let targeting: [String: JSONValue] = [
    "target_modules": ["k_proj"], "exclude_modules": #".*layers\.0\..*"#,
    "modules_to_save": ["lm_head"],
  ]

  /// `layers_pattern` makes a difference where it does not fit.
  private static func layers(_ method: String, _ with: [String: JSONValue]) -> [Effect] {
    effects(method, with: with, ["layers_to_transform": [1]])
      + effects(
        method, with: with.merging(["layers_to_transform": [1]]) { $1 }, ["layers_pattern": ["h"]])
  }

  private static let lora: [Effect] =
    effects("lora", targeting)
    + effects(
      "lora",
      [
        "r": 3, "lora_alpha": 3, "lora_dropout": 0.3, "use_rslora": true, "use_dora": true,
        "init_lora_weights": "gaussian", "rank_pattern": ["q_proj": 3],
        "alpha_pattern": ["q_proj": 3], "loraplus_lr_ratio": 4, "trainable_token_indices": [17, 8],
      ])
    + effects(
      "lora", with: ["target_modules": ["q_proj"]], base: "llama-biases",
      [
        "bias": "all", "lora_bias": true,
      ])
    + effects(
      "lora", with: ["target_modules": ["embed_tokens"]], base: "llama-tied",
      [
        "ensure_weight_tying": true
      ])
    + effects(
      "lora", with: ["target_modules": ["q_proj"]], base: "qwen3_moe",
      [
        "target_parameters": ["experts.down_proj"]
      ])
    + layers("lora", [:])

  private static let small: [String: JSONValue] = [
    "init_r": 4, "target_r": 2, "target_modules": ["q_proj"], "total_step": 8,
  ]

  private static let adalora: [Effect] =
    effects("adalora", with: small, targeting)
    + effects(
      "adalora", with: small,
      [
        "init_r": 5, "target_r": 1, "tinit": 3, "tfinal": 3, "deltaT": 3, "total_step": 7,
        "lora_alpha": 3, "lora_dropout": 0.3, "beta1": 0.5, "beta2": 0.5, "orth_reg_weight": 0,
        "init_lora_weights": false, "trainable_token_indices": [17, 8],
      ])
    + effects("adalora", with: small, base: "llama-biases", ["bias": "lora_only"])
    + layers("adalora", small)

  private static let shards: [String: JSONValue] = ["r": 4]

  private static let others: [Effect] =
    effects("ia3", targeting)
    + effects(
      "ia3", with: ["target_modules": ["k_proj", "up_proj"]],
      [
        "feedforward_modules": ["up_proj"], "init_ia3_weights": false,
      ])
    + effects("miss", with: shards, targeting)
    + effects("miss", with: shards, ["r": 3, "miss_dropout": 0.3, "init_weights": false])
    + effects("miss", with: ["r": 4, "init_weights": "mini"], ["mini_r": 8])
    + effects("miss", with: shards, base: "llama-biases", ["bias": "MiSS_only"])
    + layers("miss", shards)
    + effects(
      "bottleneck",
      [
        "bottleneck_size": 5, "reduction_factor": 4, "mh_adapter": false, "output_adapter": false,
        "non_linearity": "relu", "scaling": 2.5, "dropout": 0.3, "leave_out": [0],
        "init_weights": "bert",
      ])
    + effects("prompt-tuning", ["num_virtual_tokens": 3, "prompt_tuning_init": "SAMPLE_VOCAB"])
    + effects(
      "p-tuning", with: ["encoder_hidden_size": 8],
      [
        "num_virtual_tokens": 3, "encoder_reparameterization_type": "MLP", "encoder_hidden_size": 6,
        "encoder_num_layers": 1, "encoder_dropout": 0.3,
      ])
    + effects(
      "prefix-tuning", with: ["num_virtual_tokens": 4],
      [
        "num_virtual_tokens": 3, "prefix_projection": true, "init_weights": "zero",
      ])
    + effects("prefix-tuning", with: ["prefix_projection": true], ["encoder_hidden_size": 6])
    + effects("llama-adapter", ["adapter_len": 3, "adapter_layers": 2, "target_modules": ["mlp"]])

  static let all = lora + adalora + others

  /// Fields that say nothing by themselves, with where they are tried.
  private static let elsewhere: Set<String> = [
    // Found out from the weights, and corrected: below.
    "lora.fan_in_fan_out", "adalora.fan_in_fan_out", "ia3.fan_in_fan_out",
    // A text and its tokenizer are the program's to read: OptionEffectTests.
    "prompt-tuning.prompt_tuning_init_text", "prompt-tuning.tokenizer_name_or_path",
  ]

  @Test("Every field that a method declares is here")
  func everyField() {
    let declared = PEFTMethods.names.flatMap { method in
      PEFTMethods.fields(of: method).map { "\(method).\($0.name)" }
    }
    #expect(
      Set(declared) == Set(Self.all.map { "\($0.method).\($0.field)" }).union(Self.elsewhere))
  }

  @Test("A field does something", arguments: all)
  func effect(_ effect: Effect) throws {
    let plain = try Self.trace(effect.method, effect.base, effect.with)
    #expect(plain == (try Self.trace(effect.method, effect.base, effect.with)), "not repeatable")
    let changed = try Self.trace(
      effect.method, effect.base, effect.with.merging([effect.field: effect.value]) { $1 })
    #expect(plain != changed)
    // A pattern that fits nothing, and PEFT's module for the other family.
    let isRefusal = effect.field == "layers_pattern" || effect.value == ["mlp"]
    #expect(changed[0].hasPrefix("refused") == isRefusal && !plain[0].hasPrefix("refused"))
  }

  /// What a method is and does in some steps with some options, in words and numbers.
  private static func trace(
    _ name: String, _ base: String, _ options: [String: JSONValue]
  ) throws -> [String] {
    let adapted: AdaptedBase
    do { adapted = try AdaptedBase(name, on: base, options) } catch let error as PEFTError {
      return ["refused: \(error)"]
    }
    let (decoder, method, arena) = (adapted.decoder, adapted.method, adapted.arena)
    func numbers(_ view: MatrixView) -> String { "\(view.elements)" }
    var trace = arena.slots.map {
      "\($0.name) \($0.shape) \($0.role) \(method.learningRateFactor(of: $0)) "
        + numbers(arena.values($0))
    }
    // Away from a start that is the base, so that every gradient is one.
    for slot in arena.slots where slot.role.isOptimized {
      let noise = OwnedMatrix(rows: slot.rows, columns: slot.columns)
      CounterRandom(seed: 1, purpose: slot.name).fillNormal(noise.view, standardDeviation: 0.3)
      Elementwise.add(noise.view, addingTo: arena.values(slot), on: adapted.compute)
    }
    let inputs = try GoldenInputs()
    try decoder.prepare(
      for: .training(recomputesActivations: false), maximumTokens: inputs.tokenCount,
      maximumSequences: inputs.tokens.count)
    let batch = decoder.makeBatch(
      maximumTokens: inputs.tokenCount, maximumSequences: inputs.tokens.count)
    batch.clear()
    for tokens in inputs.tokens {
      batch.beginSequence()
      for token in tokens { batch.append(token: token, isTarget: true) }
      batch.endSequence()
    }
    do { _ = try method.prepareRun(totalSteps: 8) } catch { return ["refused: \(error)"] }
    for step in 1...8 {
      let context = adapted.context(step, of: 8)
      arena.clearGradients()
      method.prepareStep(context)
      let pass = Pass(
        batch: batch, compute: adapted.compute, random: CounterRandom(seed: UInt64(step)),
        isTraining: true)
      let loss = decoder.forwardBackward(pass)
      method.didReduceGradients(context)
      for slot in arena.slots where slot.role.isOptimized {
        Elementwise.add(
          arena.gradients(slot), addingTo: arena.values(slot), scale: -1e-4, on: adapted.compute)
      }
      method.didStep(context)
      trace.append("step \(step): \(loss.loss) \(numbers(arena.allGradients))")
      trace += method.replicas.map { "\($0.name) \(numbers($0.values))" }
      trace.append(
        "\(method.figures.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.text())" })")
    }
    return trace + [numbers(arena.allValues)]
  }

  @Test("fan_in_fan_out is what the weights are, whatever is given")
  func storageOrder() throws {
    let more: [String: [String: JSONValue]] = ["adalora": ["total_step": 8]]
    for method in ["lora", "adalora", "ia3"] {
      for (base, expected) in [("llama", false), ("gpt2", true)] {
        for given in [true, false] {
          let options = (more[method] ?? [:]).merging(["fan_in_fan_out": .bool(given)]) { $1 }
          let export = try #require(
            try AdaptedBase(method, on: base, options).method.export(baseName: ""))
          #expect(export.configuration["fan_in_fan_out"] == .bool(expected), "\(method) \(base)")
        }
      }
    }
    // A table has no order of its own: PEFT leaves what was given.
    for given in [true, false] {
      let export = try #require(
        try AdaptedBase(
          "lora", on: "gpt2", ["target_modules": ["wte"], "fan_in_fan_out": .bool(given)]
        ).method.export(baseName: ""))
      #expect(export.configuration["fan_in_fan_out"] == .bool(given))
    }
  }
}
