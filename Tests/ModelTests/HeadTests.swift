import Model
import TestSupport
import Testing

/// Whether head and embedding table are one, as configuration and weights have it.
@Suite("Head")
struct HeadTests {
  private func decoder(_ base: String) throws -> Decoder {
    try Decoder(directory: Fixtures.model(base))
  }

  @Test(
    "A head that differs from the table it is tied to is used, and that is said once",
    arguments: [
      "llama-other-head", "llama-other-head-sharded", "gpt2-other-head",
      "gpt2-hub-names-other-head",
    ])
  func different(_ base: String) throws {
    let found = try decoder(base)
    #expect(!found.isHeadTied && !found.configuration.tiesEmbeddings)
    #expect(found.parameters.contains { $0.name == "lm_head.weight" })
    let warning = try #require(found.warnings.first)
    #expect(found.warnings.count == 1)
    #expect(warning.contains("tie_word_embeddings") && warning.contains(base), "\(warning)")
  }

  @Test(
    "A head with the table's own bytes, or in its place, is the table",
    arguments: ["llama-copied-head", "llama-head-alone", "llama-tied", "gpt2"])
  func same(_ base: String) throws {
    let found = try decoder(base)
    #expect(found.isHeadTied && found.configuration.tiesEmbeddings && found.warnings.isEmpty)
    #expect(found.parameters.count { $0.name.contains("lm_head") } == 0)
  }

  @Test("A model with a head of its own, said to be so, needs no warning")
  func own() throws {
    let found = try decoder("llama")
    #expect(!found.isHeadTied && found.warnings.isEmpty)
  }
}
