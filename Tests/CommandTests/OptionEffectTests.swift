import Foundation
import JSON
import Safetensors
import TestSupport
import Testing

/// Options whose effect only the whole program shows.
@Suite("Effects of options", .serialized)
struct OptionEffectTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func run(_ arguments: String...) throws -> ProcessResult {
    let result = try bench.run(arguments)
    try #require(result.status == 0, "\(result.errors)")
    return result
  }

  @Test("A prompt starts at a text's tokens, by the tokenizer of tokenizer_name_or_path")
  func promptText() throws {
    let tokenizer = bench.path("letters")
    try FileManager.default.createDirectory(atPath: tokenizer, withIntermediateDirectories: true)
    try Workbench.writeTokenizerOfLetters(to: tokenizer + "/tokenizer.json")
    _ = try run(
      "train", "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("out"),
      "--method", "prompt-tuning", "--num-virtual-tokens", "3", "--prompt-tuning-init", "TEXT",
      "--prompt-tuning-init-text", "ca", "--tokenizer-name-or-path", tokenizer, "--max-steps", "1",
      "--learning-rate", "0")
    let path = bench.path("out/adapter/adapter_model.safetensors")
    let prompt = try SafetensorsFile(path: path).tensor(named: "prompt_embeddings").floats()
    let table = try SafetensorsFile(path: bench.model + "/model.safetensors")
      .tensor(named: "model.embed_tokens.weight").floats()
    for (row, token) in [0, 7, 5].enumerated() {
      #expect(
        Array(prompt[(row * 32)..<(row * 32 + 32)])
          == Array(table[(token * 32)..<(token * 32 + 32)]))
    }
  }

  @Test("--peft-config sets the method and its fields, --dtype how merged weights are stored")
  func configuration() throws {
    let configuration = fixturePath("peft/lora-llama-tokens/adapter/adapter_config.json")
    _ = try run(
      "train", "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("out"),
      "--peft-config", configuration, "--max-steps", "1", "--optimizer", "sgd", "--adam-beta2",
      "0.9", "--weight-decay", "0.1")
    let written = try JSONValue(
      parsing: Data(
        contentsOf: URL(fileURLWithPath: bench.path("out/adapter/adapter_config.json"))))
    #expect(written["trainable_token_indices"] == [8, 3, 50] && written["r"] == 4)
    _ = try run(
      "merge", "--model", bench.model, "--adapter", bench.path("out/adapter"), "--output-dir",
      bench.path("merged"), "--dtype", "f16")
    let file = try SafetensorsFile(path: bench.path("merged/model.safetensors"))
    #expect(file.tensors.allSatisfy { $0.storedType.rawValue == "F16" })
  }

  @Test("--add-special-tokens puts them around a text, --append-eos one behind it")
  func specialTokens() throws {
    let directory = bench.path("letters")
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let tokenizer = directory + "/tokenizer.json"
    try Workbench.writeTokenizerOfLetters(to: tokenizer)
    func ids(_ more: String...) throws -> String {
      try ProcessRunner.run(
        Workbench.program, ["tokenize", "--tokenizer", tokenizer] + more, input: "\"ab\"\n"
      ).output
    }
    #expect(try ids() == "[5,6]\n")
    #expect(try ids("--add-special-tokens") == "[0,5,6]\n")
    let rows = bench.path("rows.jsonl")
    let row = #"{"messages":[{"role":"user","content":"b"},{"role":"assistant","content":"ab"}]}"#
    try Data(row.utf8).write(to: URL(fileURLWithPath: rows))
    let template = bench.path("template.jinja")
    try Data("{% for m in messages %}{{ m.content }}{% endfor %}".utf8)
      .write(to: URL(fileURLWithPath: template))
    func tokens(_ more: String...) throws -> Int? {
      let result = try bench.run(
        [
          "prepare", "--tokenizer", tokenizer, "--input", rows, "--output", bench.path("rows.h5"),
          "--chat-template", template, "--eos-token", "</s>", "--json",
        ] + more)
      try #require(result.status == 0, "\(result.errors)")
      return try JSONValue(parsing: Data(result.output.utf8))["train"]?["tokens"]?.int
    }
    #expect(try tokens() == 3 && tokens("--append-eos") == 4)
  }

  @Test("Rows of the embeddings train, are evaluated, merged, exported and gone on from")
  func embeddings() throws {
    let model = fixturePath("model/llama-tied")
    func loss(_ arguments: String...) throws -> Double {
      let result = try bench.run(["evaluate", "--data", bench.data, "--json"] + arguments)
      try #require(result.status == 0, "\(result.errors)")
      return try #require(try JSONValue(parsing: Data(result.output.utf8))["loss"]?.double)
    }
    for (name, options) in [
      ("tokens", ["--trainable-token-indices", "[5, 6, 20]", "--target-modules", "q_proj"]),
      ("apart", ["--trainable-token-indices", #"{"embed_tokens":[5],"lm_head":[6,7]}"#]),
      ("table", ["--target-modules", "embed_tokens", "lm_head"]),
      (
        "ensured",
        ["--target-modules", "lm_head", "--ensure-weight-tying", "--max-grad-norm", "0.1"]
      ),
    ] {
      let more = options + ["--weight-decay", "0.01"]
      let result = try bench.run(
        [
          "train", "--model", model, "--data", bench.data, "--output-dir", bench.path(name),
          "--max-steps", "6", "--num-epochs", "9", "--save-steps", "3", "--learning-rate", "0.05",
          "--seed", "3",
        ] + more)
      try #require(result.status == 0, "\(name): \(result.errors)")
      let adapter = bench.path("\(name)/adapter")
      let expected = try loss("--model", model, "--adapter", adapter)
      #expect(expected != (try loss("--model", model)), "\(name)")
      _ = try run(
        "merge", "--model", model, "--adapter", adapter, "--output-dir",
        bench.path("\(name)-merged"))
      let merged = try loss("--model", bench.path("\(name)-merged"))
      #expect(abs(merged - expected) <= 1e-5 * expected, "\(name)")
      let checkpoint = bench.path("\(name)/checkpoints/step-00000006.h5")
      _ = try run("export", checkpoint, "--output-dir", bench.path("\(name)-exported"))
      let exported = try Data(
        contentsOf: URL(
          fileURLWithPath: bench.path("\(name)-exported/adapter_model.safetensors")))
      #expect(
        exported
          == (try Data(contentsOf: URL(fileURLWithPath: adapter + "/adapter_model.safetensors"))),
        "\(name)")
      let answer = try run(
        "generate", "--model", model, "--adapter", adapter, "--prompt-tokens", "1,5,6",
        "--max-new-tokens", "4", "--json")
      #expect(answer.output.contains("tokens"))
      _ = try run(
        "train", "--model", model, "--data", bench.data, "--output-dir", bench.path("\(name)-more"),
        "--adapter", adapter, "--max-steps", "1", "--learning-rate", "0")
      #expect(
        abs(try loss("--model", model, "--adapter", bench.path("\(name)-more/adapter")) - expected)
          <= 1e-6, "\(name)")
    }
  }
}
