import JSON
import Kernels
import Model
import PEFT
import TestSupport
import Testing

/// Starts: where an initialisation is an identity, the first logits are the base's to the last bit.
@Suite("Identity at the start")
struct IdentityTests {
  @Test("There is a case of every method")
  func everyMethod() { #expect(MethodCase.methods == Set(PEFTMethods.names)) }

  @Test(
    "The start's logits are the base's, or for prompts and prefixes are not",
    arguments: Fixtures.families, MethodCase.all)
  func identity(_ base: String, _ method: MethodCase) throws {
    let expected = try AdaptedBase.logits(
      of: Decoder(directory: Fixtures.model(base)), Compute(threads: 1))
    let adapted = try AdaptedBase(method.method, on: base, method.on(base).options)
    #expect(try (adapted.logits() == expected) == method.startsAtBase)
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
    let drawn = sampled.arena.valueElements(sampled.slot("prompt_embeddings"))
    for row in 0..<4 {
      let values = Array(drawn[(row * 32)..<(row * 32 + 32)])
      #expect((0..<53).contains { values == Array(rows[($0 * 32)..<($0 * 32 + 32)]) })
    }
  }
}
