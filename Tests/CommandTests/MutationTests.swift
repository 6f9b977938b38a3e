import Foundation
import TestSupport
import Testing

/// Changed files of every kind: each ends in an answer or an error, soon, and within bounds of memory.
///
/// Each reader reads some hundred; `make torture N=100000` lets each read a hundred thousand, in
/// processes of their own. What a process does not survive is named by reader, file and number, and the
/// rest goes on behind it.
@Suite("Changed files are read or refused", .serialized)
struct MutationTests {
  private static let count = Torture.count ?? 120
  /// Files that one process reads.
  private static let batch = 500

  /// A reader and what it begins with.
  struct Seed: Sendable, CustomStringConvertible {
    let reader: String
    let file: String
    var description: String { "\(reader): \(file)" }
  }

  static let seeds: [Seed] = [
    Seed(reader: "json", file: "configurations.json"),
    Seed(
      reader: "safetensors", file: "peft/lora-llama-all-linear/adapter/adapter_model.safetensors"),
    Seed(reader: "dataset", file: "hdf5/gzip.h5"),
    Seed(reader: "dataset", file: "hdf5/contiguous.h5"),
    Seed(reader: "dataset", file: "own"),
    Seed(reader: "checkpoint", file: "own"),
    Seed(reader: "tokenizer", file: "tokenizers/clip.json"),
    Seed(reader: "tokenizer", file: "tokenizers/flags.json"),
    Seed(reader: "template", file: "templates/llama3.jinja"),
    Seed(reader: "template", file: "templates/qwen3.jinja"),
    Seed(reader: "config", file: "model/llama/config.json"),
    Seed(reader: "config", file: "model/gpt2/config.json"),
    Seed(reader: "adapter", file: "peft/lora-llama-all-linear/adapter/adapter_config.json"),
  ]

  @Test("No crash, no hang, no memory without bounds", arguments: seeds)
  func readers(seed: Seed) throws {
    let bench = try Workbench()
    var file = fixturePath(seed.file)
    if seed.file == "own" {
      let run = try bench.run(
        bench.options(output: bench.path("run")) + ["--max-steps", "1", "--threads", "1"])
      try #require(run.status == 0, "\(run.errors)")
      file =
        seed.reader == "dataset" ? bench.data : bench.path("run/checkpoints/step-00000001.h5")
    }
    let folder = bench.path("folder")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    try FileManager.default.copyItem(
      atPath: fixturePath("peft/lora-llama-all-linear/adapter"), toPath: folder + "/original")
    let share = max(1, Self.count / Self.seeds.count { $0.reader == seed.reader })
    var state = Torture.State(name: "\(seed.reader)-\(seed.file.replacing("/", with: "-"))")
    var (next, lost) = (state.done, 0)
    while next < share {
      let result = try ProcessRunner.run(
        ProcessRunner.built("mutation-probe"),
        [seed.reader, file, "\(next)", "\(min(Self.batch, share - next))", folder],
        timeoutSeconds: 5 * Double(Self.batch))
      if result.status == 0 {
        next += min(Self.batch, share - next)
      } else {
        let at = try String(contentsOfFile: folder + "/at", encoding: .utf8)
        let number = try #require(Int(at))
        let how = result.status == 128 + SIGPROF ? "more than 5 s" : "status \(result.status)"
        Issue.record("\(seed), number \(number): \(how) \(result.errors.suffix(400))")
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
