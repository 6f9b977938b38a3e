import Foundation
import JSON
import Kernels
import Model
import PEFT
import Tensors
import TestSupport
import Testing
import Training

/// The proof that a merged model computes what base and adapter do.
@Suite("Merge check")
struct MergeCheckTests {
  private let directory: TemporaryDirectory
  private let compute = Compute(threads: 1)

  init() throws { directory = try TemporaryDirectory() }

  private func adapted(_ name: String, base: String) throws -> (Decoder, AttachedMethod) {
    let decoder = try Decoder(directory: fixturePath("model/\(base)"))
    let source = try AdapterSource(path: fixturePath("peft/\(name)/adapter"))
    return (decoder, try AttachedMethod(source, decoder: decoder, seed: 0))
  }

  @Test(
    "A sound merge passes in every stored type",
    arguments: [
      ("lora-llama-all-linear", "llama"), ("lora-llama-tied-embedding", "llama-tied"),
      ("lora-llama-tied-head", "llama-tied"), ("ia3-gpt2", "gpt2"), ("adalora-qwen3", "qwen3"),
    ], ElementType.allCases)
  func passes(_ adapter: (name: String, base: String), _ type: ElementType) throws {
    let (decoder, attached) = try adapted(adapter.name, base: adapter.base)
    let check = try MergeCheck(base: decoder, compute: compute)
    var error = -1.0
    try publishDirectory(directory.path("merged"), replacing: false) { path in
      let coarsest = try ModelDirectory.write(
        to: path, base: decoder, method: attached.method, elementType: type)
      #expect(coarsest == type)
      error = try check.error(of: path, roundedTo: coarsest)
    }
    #expect(error >= 0)
    #expect(type == .float32 ? error < 1e-5 : error < 0.05, "\(error)")
    #expect(directory.names == ["merged"])
  }

  @Test("Every family's merged model has its base's tensors", arguments: Fixtures.families)
  func families(_ family: String) throws {
    let (decoder, attached) = try adapted("lora-\(family)-all-linear", base: family)
    let check = try MergeCheck(base: decoder, compute: compute)
    var error = -1.0
    try publishDirectory(directory.path("merged"), replacing: false) { path in
      let coarsest = try ModelDirectory.write(
        to: path, base: decoder, method: attached.method, elementType: nil)
      error = try check.error(of: path, roundedTo: coarsest)
    }
    #expect(error >= 0 && error < 1e-5)
    let merged = try Decoder(directory: directory.path("merged"))
    #expect(merged.source.names.sorted() == decoder.source.names.sorted())
  }

  @Test(
    "A head of its own goes into the merged model, which then says that it has one",
    arguments: [
      ("llama-other-head", false), ("gpt2-other-head", false), ("llama-head-alone", true),
      ("llama-copied-head", true),
    ])
  func head(_ base: String, isTied: Bool) throws {
    let decoder = try Decoder(directory: fixturePath("model/\(base)"))
    let source = try AdapterSource(
      path: fixturePath("peft/lora-\(base.hasPrefix("gpt2") ? "gpt2" : "llama")/adapter"))
    let attached = try AttachedMethod(source, decoder: decoder, seed: 0)
    let check = try MergeCheck(base: decoder, compute: compute)
    var error = -1.0
    try publishDirectory(directory.path("merged"), replacing: false) { path in
      let coarsest = try ModelDirectory.write(
        to: path, base: decoder, method: attached.method, elementType: nil)
      error = try check.error(of: path, roundedTo: coarsest)
    }
    #expect(error >= 0 && error < 1e-5)
    let merged = try Decoder(directory: directory.path("merged"))
    #expect(merged.configuration.tiesEmbeddings == isTied && merged.warnings.isEmpty)
    let config = try JSONValue(
      parsing: Data(contentsOf: URL(fileURLWithPath: directory.path("merged/config.json"))))
    #expect(config["tie_word_embeddings"] == .bool(isTied))
  }

  /// Whether head and table are one tensor in the merged model.
  static let embeddings: [(name: String, isTied: Bool)] = [
    ("lora-llama-table", false), ("lora-llama-tied-table", false), ("lora-gpt2-table", false),
    ("lora-llama-tied-head-target", false), ("lora-gpt2-head-target", false),
    ("lora-llama-tied-both", false), ("lora-llama-tied-ensured", true),
    ("lora-llama-tied-ensured-dora", false), ("lora-llama-tied-ensured-saved", true),
    ("lora-llama-tokens", false), ("lora-llama-tied-tokens", true), ("lora-gpt2-tokens", true),
    ("lora-llama-tied-tokens-apart", false), ("lora-llama-tied-tokens-head", false),
    ("ia3-llama-tied-head", false), ("miss-llama-tied-head", false),
    ("adalora-llama-tied-head", false), ("adalora-llama-tied-tokens", true),
  ]

  @Test(
    "A tied head is parted from the table where the adapter changes one of them or both otherwise",
    arguments: embeddings)
  func parted(_ adapter: (name: String, isTied: Bool)) throws {
    let base = try #require(
      try JSONValue(
        parsing: Data(
          contentsOf: URL(fileURLWithPath: fixturePath("peft/\(adapter.name)/case.json"))))["base"]?
        .string)
    let (decoder, attached) = try adapted(adapter.name, base: base)
    let check = try MergeCheck(base: decoder, compute: compute)
    try publishDirectory(directory.path("merged"), replacing: false) { path in
      let coarsest = try ModelDirectory.write(
        to: path, base: decoder, method: attached.method, elementType: nil)
      let error = try check.error(of: path, roundedTo: coarsest)
      #expect(error < 1e-5, "\(error)")
    }
    let merged = try Decoder(directory: directory.path("merged"))
    #expect(merged.configuration.tiesEmbeddings == adapter.isTied && merged.warnings.isEmpty)
    #expect(merged.parameters.contains { $0.name == "lm_head.weight" } == !adapter.isTied)
  }

  @Test("A model that lacks the adapter is refused, and nothing is left behind")
  func refuses() throws {
    let (decoder, attached) = try adapted("lora-llama", base: "llama")
    let check = try MergeCheck(base: decoder, compute: compute)
    let error = try #require(throws: TrainingError.self) {
      try publishDirectory(directory.path("merged"), replacing: false) { path in
        let coarsest = try ModelDirectory.write(
          to: path, base: decoder, method: attached.method, elementType: nil)
        _ = try check.error(of: fixturePath("model/llama"), roundedTo: coarsest)
      }
    }
    guard case .mergeDiffers(let found, let limit) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(found > limit)
    #expect(directory.names.isEmpty)
  }

  @Test("The card of an adapter shows the library that reads it")
  func card() throws {
    for (name, base, expected, unexpected) in [
      ("lora-llama", "llama", "from peft import", "import adapters"),
      ("bottleneck-llama", "llama", "import adapters", "from peft import"),
      ("bottleneck-qwen3", "qwen3", "swift-peft-train generate", "import adapters"),
    ] {
      let (_, attached) = try adapted(name, base: base)
      let export = try #require(attached.method.export(baseName: base))
      let path = directory.path(name)
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true)
      try AdapterDirectory(path: path).write(export, base: base)
      let card = try String(contentsOfFile: path + "/README.md", encoding: .utf8)
      #expect(card.contains(expected) && !card.contains(unexpected), "\(name): \(card)")
    }
  }

  @Test("The front of a card is YAML whatever the base is called")
  func cardNames() throws {
    let (_, attached) = try adapted("lora-llama", base: "llama")
    for base in ["HuggingFaceTB/SmolLM2-135M", "/models/a: \"b\" #c", "- x", "{y}", "/ünï/'z'"] {
      let export = try #require(attached.method.export(baseName: base))
      let path = directory.path("named")
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try AdapterDirectory(path: path).write(export, base: base)
      let card = try String(contentsOfFile: path + "/README.md", encoding: .utf8)
      let parts = card.components(separatedBy: "---\n")
      try #require(parts.count >= 3 && parts[0].isEmpty)
      let lines = parts[1].split(separator: "\n")
      try #require(lines.count == 7, "\(lines)")
      // What JSON reads as this text YAML reads as this text.
      for (line, key, expected) in [
        (lines[0], "base_model: ", base), (lines[4], "- ", "base_model:adapter:\(base)"),
      ] {
        #expect(line.hasPrefix(key), "\(line)")
        let value = try JSONValue(parsing: Data(line.dropFirst(key.count).utf8))
        #expect(value.string == expected, "\(line)")
      }
      #expect(
        lines[1...3] == ["library_name: peft", "pipeline_tag: text-generation", "tags:"]
          && lines[5...] == ["- lora", "- transformers"])
      #expect(card.contains("Before it is published") == base.hasPrefix("/"))
    }
  }
}
