import Foundation
import JSON
import PEFT
import TestSupport
import Testing

/// Files of every method: what PEFT and AdapterHub wrote is read, and written again the same.
@Suite("Adapter files")
struct AdapterFileTests {
  static let cases = GoldenCase.names("").filter { !$0.hasPrefix("full-") }

  /// Those that are not converted when they are written.
  static let plainCases = cases.filter { !InitialFactorTests.cases.contains($0) }

  @Test("There are files of every method that writes an adapter")
  func everyMethod() throws {
    let methods = Set(try Self.cases.map { try GoldenCase($0).method })
    #expect(methods == MethodCase.methods.subtracting(["full"]))
  }

  @Test("An adapter of the reference gives its logits", arguments: cases)
  func logits(_ name: String) throws {
    let golden = try GoldenCase(name)
    let logits = try AdaptedBase(golden).logits()
    let expected = try #require(try golden.golden()["logits"]).values
    let error = relativeError(logits.map(Double.init), expected.map(Double.init))
    #expect(error <= 1e-5, "logits are off by \(error) of their norm")
  }

  @Test("An adapter of the reference is written as it was read", arguments: plainCases)
  func roundTrip(_ name: String) throws {
    let golden = try GoldenCase(name)
    let (options, tensors) = try AdaptedBase.adapter(golden)
    let export = try #require(try AdaptedBase(golden).method.export(baseName: golden.base))
    for (key, value) in options where key != "model_name" {
      let written = try #require(export.configuration[key], "\(key) is not written")
      #expect(written.says(value), "\(key) is \(written.text()), was \(value.text())")
    }
    let unknown = Set(export.configuration.object?.keys.map { $0 } ?? [])
      .subtracting(options.keys).subtracting(["model_name"])
    #expect(unknown.isEmpty)
    let written = Dictionary(uniqueKeysWithValues: export.tensors.map { ($0.name, $0) })
    // The base's own table and head, which PEFT adds where they are adapted, stay with the base.
    let own = tensors.filter { !$0.name.hasSuffix(".base_layer.weight") }
    #expect(Set(written.keys) == Set(own.map(\.name)))
    for tensor in own {
      #expect(written[tensor.name]?.shape == tensor.shape)
      #expect(written[tensor.name]?.values == tensor.values, "\(tensor.name) changed")
    }
  }

  @Test("A prompt without its encoder goes on as a plain prompt, and says so")
  func plainPrompt() throws {
    for name in ["p-tuning-llama-lstm", "prefix-tuning-llama-projection"] {
      let adapted = try AdaptedBase(GoldenCase(name))
      #expect(adapted.notes.count == 1)
      #expect(adapted.arena.slots.map(\.name) == ["prompt_embeddings"])
      #expect(adapted.arena.slots.allSatisfy { $0.role == .trained })
    }
    #expect(try AdaptedBase(GoldenCase("prompt-tuning-llama")).notes.isEmpty)
  }

  @Test("An AdapterHub directory is told from PEFT's")
  func recognizes() throws {
    for (name, method) in [
      ("bottleneck-llama", "bottleneck"), ("adalora-llama", "adalora"), ("ia3-llama", "ia3"),
      ("prefix-tuning-llama", "prefix-tuning"), ("llama-adapter-llama", "llama-adapter"),
    ] {
      let options = try AdaptedBase.adapter(GoldenCase(name)).options
      #expect(try PEFTMethods.name(of: .object(options), source: name) == method)
    }
  }

  @Test("Fields that would change the mathematics are refused by name", arguments: refused)
  func refuses(_ method: String, _ field: String, _ value: JSONValue) throws {
    let error = #expect(throws: PEFTError.self) {
      _ = try AdaptedBase(method, on: "llama", [field: value])
    }
    #expect(error?.description.contains(field) == true)
  }

  static let refused: [(String, String, JSONValue)] = [
    ("ia3", "layers_to_transform", [1]), ("ia3", "lora_alpha", 8),
    ("prompt-tuning", "num_transformer_submodules", 2), ("prompt-tuning", "token_dim", 31),
    ("prompt-tuning", "modules_to_save", ["lm_head"]),
    ("prompt-tuning", "prompt_tuning_init", "TEXT"),
    ("p-tuning", "encoder_reparameterization_type", "GRU"), ("p-tuning", "token_dim", 16),
    ("prefix-tuning", "init_weights", "ones"), ("prefix-tuning", "token_dim", 32),
    ("llama-adapter", "adapter_layers", 3), ("llama-adapter", "target_modules", "mlp"),
    ("bottleneck", "is_parallel", true), ("bottleneck", "scaling", "learned"),
    ("bottleneck", "non_linearity", "elu"), ("bottleneck", "original_ln_before", true),
    ("adalora", "r", 4), ("adalora", "target_r", 12), ("adalora", "use_rslora", true),
    ("adalora", "use_dora", true), ("lora", "use_qalora", true),
    ("lora", "init_lora_weights", "pissa_niter_"), ("lora", "init_lora_weights", "orthogonal"),
    ("lora", "init_lora_weights", "corda"), ("lora", "init_lora_weights", "loftq"),
    ("lora", "init_lora_weights", "lora_ga"), ("lora", "init_lora_weights", "eva"),
    ("miss", "init_weights", "bone"), ("miss", "r", 33), ("miss", "miss_dropout", 1),
    ("ia3", "target_modules", ["embed_tokens"]), ("miss", "target_modules", ".*(q_proj|tokens)"),
    ("adalora", "target_modules", ["embed_tokens"]), ("adalora", "ensure_weight_tying", true),
    ("lora", "trainable_token_indices", [1, 1]), ("lora", "trainable_token_indices", [-1]),
    ("lora", "trainable_token_indices", [53]), ("lora", "trainable_token_indices", "all"),
    ("lora", "trainable_token_indices", ["q_proj": [1]]),
    ("lora", "trainable_token_indices", ["nope": [1]]),
    ("lora", "trainable_token_indices", ["lm_head": []]),
    ("lora", "layers_to_transform", [9]), ("lora", "exclude_modules", ".*"),
    ("lora", "modules_to_save", ["nope"]),
  ]

  @Test("layers_pattern is the whole name in front of the block's number")
  func layersPattern() throws {
    func paths(_ pattern: JSONValue) throws -> Set<String> {
      let adapted = try AdaptedBase(
        "lora", on: "llama",
        ["target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": pattern])
      return Set(adapted.arena.slots.map { $0.name.components(separatedBy: ".lora_")[0] })
    }
    #expect(try paths("layers") == ["base_model.model.model.layers.1.self_attn.q_proj"])
    #expect(try paths(["nope", "lay.*"]) == paths("layers"))
    for wrong in ["self_attn", "ayers", "h"] {
      #expect(throws: PEFTError.self, "\(wrong)") { _ = try paths(.string(wrong)) }
    }
  }

  @Test("Names, numbers and patterns that nothing answers to are said")
  func unmatched() throws {
    let adapted = try AdaptedBase(
      "lora", on: "llama",
      [
        "target_modules": ["q_proj", "nope"], "layers_to_transform": [0, 5],
        "rank_pattern": ["v_proj": 2],
      ])
    let notes = try adapted.method.prepareRun(totalSteps: 1)
    #expect(notes.count == 3)
    for word in ["'nope'", "5 of layers_to_transform", "'v_proj' of rank_pattern"] {
      #expect(notes.contains { $0.contains(word) }, "\(word)")
    }
  }

  @Test("Biases that PEFT writes again under a wrapper's name are passed over, others are not")
  func repeatedBiases() throws {
    let options: [String: JSONValue] = ["bias": "all", "modules_to_save": ["ln_f"]]
    let export = try #require(
      try AdaptedBase("lora", on: "gpt2", options).method.export(baseName: ""))
    let bias = try #require(export.tensors.first { $0.name.hasSuffix(".ln_f.bias") })
    func copy(_ wrapper: String) -> NamedTensor {
      NamedTensor(
        name: bias.name.replacing(".ln_f.", with: ".ln_f.\(wrapper)."), shape: bias.shape,
        values: bias.values)
    }
    let more = export.tensors + [copy("modules_to_save"), copy("original_module")]
    _ = try AdaptedBase("lora", on: "gpt2", options, loading: more)
    #expect(throws: PEFTError.self) {
      _ = try AdaptedBase("lora", on: "gpt2", options, loading: export.tensors + [copy("other")])
    }
  }

  @Test(
    "IA3's sides are written so that PEFT finds them again",
    arguments: [
      (["mlp.down_proj", "k_proj"], ["mlp.down_proj", "k_proj"], ["mlp.down_proj"]),
      (["q_proj", "v_proj"], ["q_proj", "v_proj"], []),
      (["model.layers.1.mlp.down_proj"], nil, ["model.layers.1.mlp.down_proj"]),
    ] as [([String], [String]?, [String])])
  func sides(_ targets: [String], _ written: [String]?, _ feedForward: [String]) throws {
    let options: [String: JSONValue] = ["target_modules": .array(targets.map(JSONValue.string))]
    let export = try #require(
      try AdaptedBase("ia3", on: "llama", options).method.export(baseName: ""))
    func names(_ key: String) -> Set<String> {
      Set((export.configuration[key]?.array ?? []).compactMap(\.string))
    }
    #expect(names("target_modules") == Set(written ?? targets))
    #expect(names("feedforward_modules") == Set(feedForward))
    _ = try AdaptedBase(
      "ia3", on: "llama", export.configuration.object ?? [:], loading: export.tensors)
  }

  @Test("IA3 targets that are both sides are written as paths")
  func bothSides() throws {
    let export = try #require(
      try AdaptedBase("ia3", on: "gpt2", ["target_modules": ["c_proj"]]).method.export(baseName: "")
    )
    let inputs = (0..<2).map { "transformer.h.\($0).mlp.c_proj" }
    let outputs = (0..<2).map { "transformer.h.\($0).attn.c_proj" }
    #expect(export.configuration["feedforward_modules"] == .array(inputs.map(JSONValue.string)))
    #expect(
      export.configuration["target_modules"]
        == .array((inputs + outputs).sorted().map(JSONValue.string)))
    _ = try AdaptedBase(
      "ia3", on: "gpt2", export.configuration.object ?? [:], loading: export.tensors)
  }

  @Test("AdaLoRA has no default targets on Mistral")
  func mistral() {
    #expect(throws: PEFTError.self) { _ = try AdaptedBase("adalora", on: "mistral") }
  }
}
