import Foundation
import JSON
import Preparation
import TestSupport
import Testing

@Suite("Which tokens of a text count")
struct MaskTests {
  @Test(
    "A prompt's end is found where the reference's offsets put it",
    arguments: ["gpt2", "llama2", "llama3", "mistral", "qwen2", "smollm"])
  func reference(name: String) throws {
    let file = try JSONNode(parsing: bytes(of: fixturePath("masks.json")))
    let rows = try #require(file["rows"]?.array)
    let cases = try #require(file["tokenizers"]?[name]?.array)
    let place = try Workplace(name, end: nil)
    let texts = rows.map { row in
      "{\"prompt\": \(JSONText.quoted(row["prompt"]?.string ?? "")), "
        + "\"completion\": \(JSONText.quoted(row["completion"]?.string ?? ""))}"
    }
    _ = try place.prepare(texts) { $0.appendsEndOfText = false }
    let examples = try place.examples()
    try #require(examples.count == cases.count)
    var compared = 0
    for (index, (example, expected)) in zip(examples, cases).enumerated() {
      let ids = (expected["ids"]?.array ?? []).compactMap(\.integer)
      #expect(example.tokens.map { Int($0) } == ids, "row \(index)")
      // No mask is given where the reference's offsets are wrong.
      guard let mask = expected["mask"]?.array?.compactMap(\.integer) else { continue }
      compared += 1
      #expect(example.mask.map { Int($0) } == mask, "row \(index)")
    }
    #expect(compared >= 15)
  }
}
