import Foundation
import TestSupport
import Testing

/// Changed files of every kind: each ends in an answer or an error, soon, and within bounds of memory.
///
/// Each reader reads some hundred; `make torture N=100000` lets each read a hundred thousand, in
/// processes of their own. What a process does not survive is named by reader, file and number, and the
/// rest goes on behind it. `make fuzz` puts a probe in its place in which libFuzzer chooses the changes.
@Suite("Changed files are read or refused", .serialized)
struct MutationTests {
  private static let count = Torture.count ?? 120
  /// A probe built for libFuzzer.
  private static let guided = ProcessInfo.processInfo.environment["GUIDED_PROBE"].map {
    URL(fileURLWithPath: $0)
  }
  /// Files that one process reads; one that learns from each begins anew seldom.
  private static let batch = guided == nil ? 500 : 20_000

  /// A reader and what it begins with.
  struct Seed: Sendable, CustomStringConvertible {
    let reader: String
    /// A fixture, or behind `own/` what a run of the program leaves.
    let file: String
    /// Fixtures that lie in the directory with it, all of a folder where one is named, and what a
    /// file is called there.
    var beside: [(from: String, to: String)] = []
    var description: String { "\(reader): \(file)" }

    init(_ reader: String, _ file: String, beside: [(from: String, to: String)] = []) {
      (self.reader, self.file, self.beside) = (reader, file, beside)
    }
  }

  static let seeds: [Seed] =
    [
      Seed("json", "mutation/text/tokenizer_config.json"),
      Seed("safetensors", "peft/lora-llama-all-linear/adapter/adapter_model.safetensors"),
      Seed("dataset", "hdf5/gzip.h5"), Seed("dataset", "hdf5/contiguous.h5"),
      Seed("dataset", "own/data.h5"), Seed("checkpoint", "own/checkpoints/step-00000001.h5"),
      Seed("tokenizer", "tokenizers/clip.json"), Seed("tokenizer", "tokenizers/flags.json"),
      Seed("template", "templates/llama3.jinja"), Seed("template", "templates/qwen3.jinja"),
      Seed("config", "model/llama/config.json"), Seed("config", "model/gpt2/config.json"),
    ]
    + ["adapter_config.json", "adapter_model.safetensors"].map {
      let directory = "peft/lora-llama-all-linear/adapter"
      return Seed("adapter", "\(directory)/\($0)", beside: [(directory, "")])
    }
    + ["mutation/words", "mutation/pieces", "gguf/llama-blocks/model", "gguf/llama-k/model"].map {
      Seed("gguf", "\($0).gguf")
    }
    + ["nf4/config.json", "nf4-nested/model.safetensors", "int8/model.safetensors"].map {
      let directory = "bnb/" + $0.prefix { $0 != "/" }
      return Seed("quantized", "bnb/\($0)", beside: [(directory, "")])
    }
    + [
      "llama-llama3/config.json", "gpt2/config.json", "phi3/config.json", "gemma3_text/config.json",
      "qwen3_moe/config.json", "llama-sharded/model.safetensors.index.json",
    ].map {
      let directory = "model/" + $0.prefix { $0 != "/" }
      return Seed("model", "model/\($0)", beside: [(directory, "")])
    }
    + ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"].map {
      Seed("text", "mutation/text/\($0)", beside: text)
    }
    + [
      Seed(
        "text", "mutation/plain/added_tokens.json",
        beside: [("tokenizers/gpt2.json", "tokenizer.json"), ("mutation/plain", "")])
    ]
    + [
      "rows/rows.jsonl", "rows/rows.csv", "rows/rows.tsv", "rows/rows.jsonl.gz",
      "rows/rows.jsonl.zst", "mutation/rows.json", "mutation/forms.jsonl",
    ].map { Seed("rows", $0, beside: text) }
    + ["llmc.bin", "megatron.idx", "cerebras.h5", "nvidia.h5"].map {
      Seed("imports", "mutation/import/\($0)", beside: text + [("mutation/import", "")])
    }
    + [
      Seed("settings", "mutation/train.yaml"), Seed("comparison", "mutation/compare.yaml"),
      Seed("run", "own/metrics.jsonl"), Seed("run", "own/adapter/origin.json"),
      Seed("run", "own/compare.json"),
    ]

  private static let text = [
    (from: "tokenizers/gpt2.json", to: "tokenizer.json"), (from: "mutation/text", to: ""),
  ]

  /// What a seed begins with, and the folder in which it is read.
  private func place(_ seed: Seed, _ bench: Workbench) throws -> (file: String, folder: String) {
    var file = fixturePath(seed.file)
    let original = bench.path("folder/original")
    let manager = FileManager.default
    try manager.createDirectory(atPath: original, withIntermediateDirectories: true)
    for (from, to) in seed.beside {
      let source = fixturePath(from)
      // A folder's files keep their names.
      let names = to.isEmpty ? try manager.contentsOfDirectory(atPath: source) : [""]
      for name in names where !name.hasPrefix("golden") {
        try manager.copyItem(
          atPath: name.isEmpty ? source : "\(source)/\(name)",
          toPath: "\(original)/\(name.isEmpty ? to : name)")
      }
    }
    if seed.file == "own/data.h5" {
      file = bench.data
    } else if seed.file == "own/compare.json" {
      let result = try bench.run([
        "compare", "--model", bench.model, "--data", bench.data, "--output-dir",
        bench.path("compared"), "--methods", "lora,ia3", "--max-steps", "2", "--threads", "1",
      ])
      try #require(result.status == 0, "\(result.errors)")
      file = bench.path("compared/compare.json")
    } else if seed.file.hasPrefix("own/") {
      let run = try bench.run(
        bench.options(output: bench.path("run")) + ["--max-steps", "1", "--threads", "1"])
      try #require(run.status == 0, "\(run.errors)")
      file = bench.path("run/" + seed.file.dropFirst("own/".count))
    }
    return (file, bench.path("folder"))
  }

  @Test("No crash, no hang, no memory without bounds", arguments: seeds)
  func readers(seed: Seed) throws {
    let bench = try Workbench()
    let (file, folder) = try place(seed, bench)
    let share = max(1, Self.count / Self.seeds.count { $0.reader == seed.reader })
    var state = Torture.State(name: "\(seed.reader)-\(seed.file.replacing("/", with: "-"))")
    var (next, lost) = (state.done, 0)
    while next < share {
      let result = try ProcessRunner.run(
        Self.guided ?? ProcessRunner.built("mutation-probe"),
        [seed.reader, file, "\(next)", "\(min(Self.batch, share - next))", folder],
        timeoutSeconds: 5 * Double(Self.batch))
      if result.status == 0 {
        next += min(Self.batch, share - next)
      } else {
        let at = try String(contentsOfFile: folder + "/at", encoding: .utf8)
        let number = try #require(Int(at))
        let how = result.status == 128 + SIGPROF ? "more than 5 s" : "status \(result.status)"
        var kept = ""
        if Self.guided != nil {
          // No number makes it again.
          kept = "\(Torture.folder ?? NSTemporaryDirectory())/lost-\(seed.reader)-\(number)"
          try FileManager.default.copyItem(atPath: folder + "/input", toPath: kept)
        }
        Issue.record("\(seed), number \(number): \(how) \(kept) \(result.errors.suffix(400))")
        lost += 1
        next = number + 1
        // One fault may have many faces.
        if lost > 20 { break }
      }
      state.done = next
    }
    print("\(seed): \(next) changed files, \(lost) not survived")
  }
}
