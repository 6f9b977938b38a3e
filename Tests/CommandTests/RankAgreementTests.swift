import Datasets
import Foundation
import TestSupport
import Testing

/// Ranks that differ where they must be alike: each difference is found, and named.
@Suite("Ranks that differ are told apart", .serialized) struct RankAgreementTests {
  private static let probe = ProcessRunner.built("training-probe")
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// What the program itself wrote: lines of `mpirun` follow it.
  private func message(_ result: ProcessResult) -> String {
    result.errors.split(separator: "\n").last { $0.hasPrefix("[rank ") }.map(String.init) ?? ""
  }

  /// Runs `program` on ranks that first run lines of shell, which know `$RANK`.
  private func mpirun(
    ranks: Int, shell: String, _ program: URL, _ arguments: [String]
  ) throws -> ProcessResult {
    try ProcessRunner.mpirun(
      ranks: ranks, URL(fileURLWithPath: "/bin/sh"),
      ["-c", "RANK=$OMPI_COMM_WORLD_RANK; \(shell); exec \"$0\" \"$@\"", program.path] + arguments)
  }

  private func settings(_ lines: [String], output: String = "out") throws -> String {
    let path = bench.path("run-\(UUID().uuidString).yaml")
    let rate = lines.contains { $0.hasPrefix("learning_rate") } ? [] : ["learning_rate: 0.02"]
    let common =
      [
        "model: \(bench.model)", "data: \(bench.data)", "output_dir: \(bench.path(output))",
        "global_batch_size: 5", "threads: 1", "logging_steps: 0", "num_epochs: 100",
      ] + rate
    try (common + lines).joined(separator: "\n").write(
      toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  // MARK: At the start

  @Test("A setting that one rank has otherwise is named with both values")
  func settings() throws {
    let result = try mpirun(
      ranks: 2, shell: "[ $RANK = 1 ] && set -- \"$@\" --seed 7 --adam-epsilon 1e-5",
      Workbench.program, bench.options(output: bench.path("out")))
    #expect(result.status == 64)
    #expect(
      message(result).contains(
        "Ranks have different settings, adam_epsilon first: rank 1 of 2 has '1e-05', rank 0 has nothing."
      ), "\(result.errors)")
  }

  @Test("Ranks that would compare other methods are told so, and do not wait")
  func methods() throws {
    let result = try mpirun(
      ranks: 2,
      shell: "[ $RANK = 1 ] && set -- \"$@\" --methods ia3 || set -- \"$@\" --methods lora",
      Workbench.program,
      ["compare", "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("out")])
    #expect(result.status == 64)
    #expect(message(result).contains("methods first: rank 1 of 2 has 'ia3'"), "\(result.errors)")
  }

  /// Copies the base to `rank0/base` and `rank1/base`, and changes a file of the second.
  private func bases(_ file: String, _ change: (inout [UInt8]) -> Void) throws {
    for rank in 0..<2 {
      let folder = bench.path("rank\(rank)")
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: bench.model, toPath: folder + "/base")
    }
    let path = bench.path("rank1/base/\(file)")
    var content = try bytes(of: path)
    change(&content)
    try write(content, to: path)
  }

  @Test(
    "A bit of the base is found on one rank of two, by train and by evaluate",
    arguments: ["train", "evaluate"])
  func base(command: String) throws {
    // The last tensor of the file ends with it.
    try bases("model.safetensors") { $0[$0.count - 3] ^= 1 }
    let options =
      command == "train"
      ? ["--output-dir", bench.path("out"), "--max-steps", "2"] : ["--split", "train"]
    let result = try mpirun(
      ranks: 2, shell: "cd \(bench.path("rank"))$RANK", Workbench.program,
      [command, "--model", "base", "--data", bench.data] + options)
    #expect(result.status == 65, "\(result.errors)")
    let text = message(result)
    #expect(
      text.hasPrefix("[rank 0/2] Ranks differ in the base base, tensor '"), "\(result.errors)")
    #expect(text.contains("in model.safetensors first: rank 1 of 2 has F32"))
    #expect(!FileManager.default.fileExists(atPath: bench.path("out")))
  }

  @Test("Another number in config.json is found too")
  func configuration() throws {
    try bases("config.json") { content in
      let text = String(decoding: content, as: UTF8.self)
      content = Array(text.replacing("10000.0", with: "20000.0").utf8)
    }
    let result = try mpirun(
      ranks: 2, shell: "cd \(bench.path("rank"))$RANK", Workbench.program,
      ["--model", "base", "--data", bench.data, "--output-dir", bench.path("out")])
    #expect(result.status == 65, "\(result.errors)")
    #expect(message(result).contains("config.json first: rank 1 of 2"), "\(result.errors)")
  }

  @Test("A sound copy for each rank, read by each whole, trains as one file does")
  func copies() throws {
    try bases("model.safetensors") { _ in }
    let run = try settings(["max_steps: 3"])
    let result = try ProcessRunner.mpirun(
      ranks: 2, Self.probe,
      [run, "model=\(bench.path("rank0/base")),\(bench.path("rank1/base"))"])
    #expect(result.status == 0, "\(result.errors)")
    let shared = try ProcessRunner.mpirun(
      ranks: 2, Self.probe, [try settings(["max_steps: 3"], output: "shared")])
    #expect(shared.status == 0, "\(shared.errors)")
    #expect(shared.outputLines.sorted() == result.outputLines.sorted())
  }

  @Test(
    "A token, a mask value and an offset of the dataset are found",
    arguments: ["tokens", "loss_mask", "offsets"])
  func dataset(part: String) throws {
    for rank in 0..<2 {
      let writer = try TokenDatasetWriter(
        path: bench.path("data\(rank).h5"), vocabularySize: 53)
      let isOdd = rank == 1
      var tokens = (0..<40).map { UInt32($0 % 50) }
      var mask = [UInt8](repeating: 1, count: 40)
      if isOdd && part == "tokens" { tokens[17] ^= 1 }
      if isOdd && part == "loss_mask" { mask[17] = 0 }
      let cut = isOdd && part == "offsets" ? 21 : 20
      for range in [0..<cut, cut..<40] {
        try writer.append(tokens: Array(tokens[range]), lossMask: Array(mask[range]), to: .train)
      }
      try writer.finish()
    }
    let result = try ProcessRunner.mpirun(
      ranks: 2, Self.probe,
      [
        try settings(["max_steps: 2"]),
        "data=\(bench.path("data0.h5")),\(bench.path("data1.h5"))",
      ])
    #expect(result.status == 65, "\(result.errors)")
    #expect(
      message(result).contains("/train/\(part) first: rank 1 of 2 has xxh64"), "\(result.errors)")
  }

  @Test("Adapters that ranks start from are compared")
  func adapter() throws {
    for rank in 0..<2 {
      // Adapters of the same shape, sound in themselves, that began with other random numbers.
      let run = try bench.run(
        bench.options(output: bench.path("run\(rank)"))
          + ["--max-steps", "2", "--seed", "\(rank + 5)"])
      try #require(run.status == 0, "\(run.errors)")
      try FileManager.default.createDirectory(
        atPath: bench.path("rank\(rank)"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        atPath: bench.path("run\(rank)/adapter"), toPath: bench.path("rank\(rank)/adapter"))
    }
    let result = try mpirun(
      ranks: 2, shell: "cd \(bench.path("rank"))$RANK", Workbench.program,
      [
        "--model", bench.model, "--data", bench.data, "--adapter", "adapter",
        "--output-dir", bench.path("out"), "--max-steps", "2",
      ])
    #expect(result.status == 65, "\(result.errors)")
    #expect(
      message(result).contains("Ranks differ in the adapter that they start from, tensor '"),
      "\(result.errors)")
  }

  // MARK: In a step

  @Test(
    "A bit that flips in one rank's state ends the run at the next reduction",
    arguments: [("value", 3, 3), ("first", 0, 2), ("second", 0, 2), ("value", 31, 2)])
  func flip(what: String, bit: Int, ranks: Int) throws {
    let result = try ProcessRunner.mpirun(
      ranks: ranks, Self.probe,
      [try settings(["max_steps: 8"]), "flip=1,3,\(what),\(bit)"])
    #expect(result.status == 1, "\(result.errors)")
    let name = what == "value" ? "adapter tensor" : "\(what) moment of"
    let text = message(result)
    #expect(
      text.hasPrefix(
        "[rank 0/\(ranks)] Ranks differ in the training state before the update of step 4, \(name) '"
      ),
      "\(result.errors)")
    #expect(text.contains("lora_"))
    #expect(text.contains("first: rank 1 of \(ranks) has xxh64 "))
    #expect(text.contains("--resume"))
    #expect(result.output == "")
  }

  @Test("A flipped state is not saved: the run goes on from the checkpoint before")
  func lastGoodCheckpoint() throws {
    let lines = ["max_steps: 6", "save_steps: 1", "save_total_limit: 0"]
    let whole = try ProcessRunner.mpirun(
      ranks: 2, Self.probe, [try settings(lines, output: "whole")])
    try #require(whole.status == 0, "\(whole.errors)")
    // Rank 0 is the one that writes.
    let broken = try ProcessRunner.mpirun(
      ranks: 2, Self.probe, [try settings(lines), "flip=0,4,value,7"])
    #expect(broken.status == 1)
    #expect(message(broken).contains("the training state after step 4"), "\(broken.errors)")
    let saved = try FileManager.default.contentsOfDirectory(atPath: bench.path("out/checkpoints"))
    #expect(saved.filter { $0.hasSuffix(".h5") }.sorted().last == "step-00000003.h5")
    let resumed = try ProcessRunner.mpirun(
      ranks: 2, Self.probe, [try settings(lines + ["resume: newest"])])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(resumed.outputLines.sorted() == whole.outputLines.sorted())
  }

  // MARK: At the end

  @Test(
    "With --load-best-model-at-end all ranks end with the best step's adapter",
    arguments: [
      ["method: lora", "target_modules: all-linear"],
      ["method: adalora", "init_r: 6", "target_r: 3", "tinit: 2"],
      ["method: lora", "use_dora: true"],
    ])
  func best(lines: [String]) throws {
    let run =
      lines + [
        "max_steps: 14", "eval_steps: 1", "load_best_model_at_end: true", "learning_rate: 0.3",
        "save_total_limit: 2",
      ]
    let result = try ProcessRunner.mpirun(ranks: 2, Self.probe, [try settings(run)])
    #expect(result.status == 0, "\(result.errors)")
    let ends = result.outputLines.map { $0.split(separator: " ").dropFirst(2) }
    #expect(ends.count == 2 && ends[0] == ends[1], "\(result.output)")
    let alone = try ProcessRunner.run(Self.probe, [try settings(run, output: "alone")])
    #expect(alone.status == 0, "\(alone.errors)")
    #expect(alone.outputLines.first?.split(separator: " ").dropFirst(2) == ends.first)
    let step = ends.first?.dropFirst().first.flatMap { Int($0) } ?? 14
    #expect(step < 14, "a rate this high must make the best step an earlier one")
  }
}
