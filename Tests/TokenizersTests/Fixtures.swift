import Foundation
import JSON
import Tokenizers

/// The tokenizers trained with the reference library, and what it encodes with them.
enum Fixtures {
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/tokenizers").path

  static let names = [
    "behaviors", "cl100k", "clip", "continuing", "deepseek", "flags", "gemma", "gpt2", "llama2",
    "llama3", "mistral", "o200k", "prefix-space", "qwen2", "smollm", "unknown-fused",
    "unknown-single",
  ]

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(contentsOf: "\(directory)/\(name).json")
  }

  static func json(_ name: String) throws -> JSONNode {
    let url = URL(fileURLWithPath: "\(directory)/\(name)")
    return try JSONNode(parsing: [UInt8](Data(contentsOf: url)))
  }

  static func texts() throws -> [String] {
    try json("texts.json").array?.compactMap(\.string) ?? []
  }
}

/// Whether two texts are the same scalar by scalar; `==` takes equivalent ones for equal.
func same(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

/// A text by its scalars, for messages.
func spelled(_ text: String) -> String {
  text.unicodeScalars.map { String($0.value, radix: 16) }.joined(separator: " ")
}

/// A directory that goes with the test.
final class Scratch {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "tokenizers-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String, _ text: String) throws -> String {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
    return path + "/" + name
  }
}
