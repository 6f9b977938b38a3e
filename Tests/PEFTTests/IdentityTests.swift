import JSON
import Kernels
import Model
import PEFT
import TestSupport
import Testing

/// Starts: where an initialisation is an identity, the first logits are the base's to the last bit.
@Suite("Identity at the start")
struct IdentityTests {
  static let families = ["llama", "mistral", "qwen2", "qwen3", "gpt2"]

  static let methods: [(String, [String: JSONValue])] = [
    ("lora", ["lora_dropout": 0.1]), ("lora", ["use_dora": true]), ("ia3", [:]),
    ("adalora", [:]), ("llama-adapter", ["adapter_len": 3, "adapter_layers": 2]),
    ("bottleneck", ["init_weights": "mam_adapter", "reduction_factor": 8]),
  ]

  @Test("The start's logits are the base's", arguments: families)
  func identity(_ base: String) throws {
    let expected = try AdaptedBase.logits(
      of: Decoder(directory: Fixtures.model(base)), Compute(threads: 1))
    for (method, options) in Self.methods {
      var options = options
      if method == "adalora" { options["target_modules"] = "all-linear" }
      let adapted = try AdaptedBase(method, on: base, options)
      #expect(try adapted.logits() == expected, "\(method) on \(base)")
    }
  }

  @Test("Prompts and prefixes, a prefix of zeros too, are not the base", arguments: families)
  func prompts(_ base: String) throws {
    let expected = try AdaptedBase.logits(
      of: Decoder(directory: Fixtures.model(base)), Compute(threads: 1))
    for (method, options) in [
      ("prompt-tuning", ["num_virtual_tokens": 2]), ("p-tuning", ["num_virtual_tokens": 2]),
      ("prefix-tuning", ["num_virtual_tokens": 2, "init_weights": "zero"]),
    ] as [(String, [String: JSONValue])] {
      #expect(try AdaptedBase(method, on: base, options).logits() != expected)
    }
  }

  @Test("A prompt starts at embedding rows where it is asked to")
  func embeddingRows() throws {
    let text: [String: JSONValue] = [
      "prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "a b", "num_virtual_tokens": 3,
      "prompt_tuning_init_token_ids": [5, 9],
    ]
    let adapted = try AdaptedBase("prompt-tuning", on: "llama", text)
    let table = try Fixtures.tensors("model/llama/model.safetensors")["model.embed_tokens.weight"]
    let rows = try #require(table).values
    let prompt = adapted.arena.values(adapted.slot("prompt_embeddings"))
    for (row, token) in [5, 9, 5].enumerated() {
      #expect(
        prompt.rows(row..<(row + 1)).elements == Array(rows[(token * 32)..<(token * 32 + 32)]))
    }
    let sampled = try AdaptedBase(
      "prompt-tuning", on: "llama", ["prompt_tuning_init": "SAMPLE_VOCAB", "num_virtual_tokens": 4])
    let drawn = sampled.arena.values(sampled.slot("prompt_embeddings")).elements
    for row in 0..<4 {
      let values = Array(drawn[(row * 32)..<(row * 32 + 32)])
      #expect((0..<53).contains { values == Array(rows[($0 * 32)..<($0 * 32 + 32)]) })
    }
  }
}
