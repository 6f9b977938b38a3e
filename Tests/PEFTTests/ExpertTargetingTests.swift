import JSON
import PEFT
import TestSupport
import Testing

/// What LoRA adapts on a base with experts: PEFT 0.21's reading with transformers 5.
@Suite("LoRA on experts")
struct ExpertTargetingTests {
  @Test("Every projection stands for the experts' tensors, and is saved as PEFT saves it")
  func allLinear() throws {
    let golden = try GoldenCase("lora-qwen3_moe-all-linear")
    let (fields, tensors) = try AdaptedBase.adapter(golden)
    let base = try AdaptedBase(
      "lora", on: "qwen3_moe", ["r": 2, "lora_alpha": 6, "target_modules": "all-linear"])
    let export = try #require(base.method.export(baseName: "qwen3_moe"))
    for name in ["target_modules", "target_parameters", "rank_pattern", "alpha_pattern"] {
      let found = try #require(export.configuration[name])
      let expected = try #require(fields[name])
      #expect(found.says(expected), "\(name)")
    }
    let found = Dictionary(uniqueKeysWithValues: export.tensors.map { ($0.name, $0.shape) })
    #expect(found == Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) }))
  }

  @Test("A name of a projection stands for all experts, wherever it is named")
  func names() throws {
    let base = try AdaptedBase(
      "lora", on: "qwen3_moe", ["target_modules": ["q_proj", "model.layers.0.mlp.down_proj"]])
    let paths = Set(base.arena.slots.map { $0.name.split(separator: ".")[4...5].joined() })
    #expect(paths == ["0self_attn", "1self_attn", "2self_attn", "3self_attn", "1mlp", "3mlp"])
    let pattern = try AdaptedBase(
      "lora", on: "qwen3_moe", ["target_modules": #".*\.2\.self_attn\.(q|v)_proj"#])
    #expect(pattern.arena.slots.count == 4)
  }

  @Test(
    "What PEFT does not do there is refused by name",
    arguments: [
      ("lora_dropout", ["lora_dropout": 0.1, "target_modules": "all-linear"]),
      ("use_dora", ["use_dora": true, "target_modules": "all-linear"]),
      ("init_lora_weights", ["init_lora_weights": "pissa", "target_modules": ["down_proj"]]),
      ("gate_proj and up_proj", ["target_modules": ["gate_proj", "q_proj"]]),
      ("target_modules", ["target_modules": ".*down_proj"]),
      ("target_parameters", ["target_parameters": ["experts.nothing"]]),
      ("modules_to_save", ["target_modules": ["q_proj"], "modules_to_save": ["experts"]]),
    ] as [(String, [String: JSONValue])])
  func refused(_ word: String, _ options: [String: JSONValue]) throws {
    let error = try #require(throws: PEFTError.self) {
      try AdaptedBase("lora", on: "qwen3_moe", options)
    }
    #expect(error.description.contains(word), "\(error)")
  }

  @Test("A base without experts has no such tensors")
  func others() throws {
    let error = try #require(throws: PEFTError.self) {
      try AdaptedBase("lora", on: "llama", ["target_parameters": ["experts.down_proj"]])
    }
    #expect(error.description.contains("target_parameters"), "\(error)")
  }
}
