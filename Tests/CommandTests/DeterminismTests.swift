import Foundation
import TestSupport
import Testing

@Suite("Ranks, threads and resuming change no bit", .serialized) struct DeterminismTests {
  @Test("1 to 4 ranks of 1 and 2 threads train the same adapter, byte for byte")
  func ranksAndThreads() throws {
    let bench = try Workbench()
    let reference = bench.path("reference")
    let alone = try bench.run(bench.options(output: reference) + ["--threads", "1"])
    #expect(alone.status == 0, "\(alone.errors)")
    let expected = try bytes(of: reference + "/adapter/adapter_model.safetensors")
    let losses = try bench.metrics(reference).map { $0["loss"] }
    for (ranks, threads) in [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2)] {
      let output = bench.path("ranks-\(ranks)-threads-\(threads)")
      let result = try bench.mpirun(
        ranks: ranks, bench.options(output: output) + ["--threads", "\(threads)"])
      try #require(result.status == 0, "\(ranks) ranks: \(result.errors)")
      let found = try bytes(of: output + "/adapter/adapter_model.safetensors")
      #expect(found == expected, "\(ranks) ranks of \(threads) threads")
      #expect(try bench.metrics(output).map { $0["loss"] } == losses)
      #expect(try bench.metrics(output).first?["world_size"]?.int == ranks)
    }
  }

  @Test("Under MPICH the same program trains the same adapter, byte for byte")
  func mpich() throws {
    let bench = try Workbench()
    let names = ["mpich", "openmpi"]
    let one = try ProcessRunner.mpich(
      ranks: 3, Workbench.program, bench.options(output: bench.path(names[0])))
    try #require(one.status == 0, "\(one.errors)")
    let other = try bench.mpirun(
      ranks: 3, bench.options(output: bench.path(names[1])) + ["--mpi", "openmpi"])
    try #require(other.status == 0, "\(other.errors)")
    let adapters = try names.map {
      try bytes(of: bench.path($0) + "/adapter/adapter_model.safetensors")
    }
    #expect(adapters[0] == adapters[1])
    let library = try bench.metrics(bench.path("mpich")).first?["versions"]?["mpi"]?.string
    #expect(library?.contains("MPICH") == true)
    // The other's launcher finds ranks that are alone.
    let wrong = try ProcessRunner.mpich(
      ranks: 2, Workbench.program,
      bench.options(output: bench.path("wrong")) + ["--mpi", "openmpi"])
    #expect(wrong.status == 64 && wrong.errors.contains("--mpi"), "\(wrong.errors)")
  }

  @Test("Micro-batches cut by tokens: the same adapter on any ranks, threads and nodes")
  func tokens() throws {
    let bench = try Workbench()
    let cut = ["--micro-batch-tokens", "20"]
    let reference = bench.path("reference")
    let alone = try bench.run(bench.options(output: reference) + cut + ["--threads", "1"])
    try #require(alone.status == 0, "\(alone.errors)")
    #expect(alone.errors.contains("micro-batches of at most 20 tokens"))
    let expected = try bytes(of: reference + "/adapter/adapter_model.safetensors")
    for (ranks, threads, ranksPerNode) in [(1, 2, 0), (2, 1, 0), (3, 2, 0), (3, 1, 1), (4, 1, 2)] {
      let output = bench.path("\(ranks)-\(threads)-\(ranksPerNode)")
      let result = try ProcessRunner.mpirun(
        ranks: ranks, Workbench.program,
        bench.options(output: output) + cut + ["--threads", "\(threads)"],
        environment: ["SWIFT_PEFT_TRAIN_RANKS_PER_NODE": "\(ranksPerNode)"])
      try #require(result.status == 0, "\(ranks) ranks: \(result.errors)")
      #expect(
        try bytes(of: output + "/adapter/adapter_model.safetensors") == expected,
        "\(ranks) ranks, \(ranksPerNode) a node")
    }
    // From its own settings, too, which name one of the two.
    let again = try bench.run([
      "--config", reference + "/config.yaml", "--output-dir", bench.path("again"),
    ])
    try #require(again.status == 0, "\(again.errors)")
    #expect(try bytes(of: bench.path("again/adapter/adapter_model.safetensors")) == expected)
    let both = try bench.run(
      bench.options(output: bench.path("both")) + cut + ["--micro-batch-size", "1"])
    #expect(both.status == 64 && lastLine(both).contains("Give one of them"), "\(both.errors)")
    // The command line wins over the file.
    let other = try bench.run([
      "--config", reference + "/config.yaml", "--output-dir", bench.path("other"),
      "--micro-batch-size", "2", "--max-steps", "1",
    ])
    #expect(other.status == 0, "\(other.errors)")
  }

  @Test("Gradient checkpointing changes no bit")
  func recomputation() throws {
    let bench = try Workbench()
    for (name, extra) in [("kept", []), ("recomputed", ["--gradient-checkpointing"])] {
      let result = try bench.run(bench.options(output: bench.path(name)) + extra)
      try #require(result.status == 0, "\(result.errors)")
    }
    #expect(
      try bytes(of: bench.path("kept/adapter/adapter_model.safetensors"))
        == bytes(of: bench.path("recomputed/adapter/adapter_model.safetensors")))
  }

  @Test("A run of 3 ranks resumed on 2 ends with the bytes of the uninterrupted one")
  func resuming() throws {
    let bench = try Workbench()
    let whole = bench.path("whole")
    let options = ["--save-steps", "5", "--eval-steps", "4", "--save-total-limit", "0"]
    let first = try bench.mpirun(ranks: 3, bench.options(output: whole) + options)
    try #require(first.status == 0, "\(first.errors)")

    // What a run that was killed after its first checkpoint leaves: a later, damaged one, and metrics
    // of steps that will be made again.
    let resumed = bench.path("resumed")
    let manager = FileManager.default
    try manager.createDirectory(
      atPath: resumed + "/checkpoints", withIntermediateDirectories: true)
    try manager.copyItem(
      atPath: whole + "/checkpoints/step-00000005.h5",
      toPath: resumed + "/checkpoints/step-00000005.h5")
    var damaged = try bytes(of: whole + "/checkpoints/step-00000010.h5")
    damaged[damaged.count / 2] ^= 1
    damaged.removeLast(100)
    try Data(damaged).write(to: URL(fileURLWithPath: resumed + "/checkpoints/step-00000010.h5"))
    try manager.copyItem(atPath: whole + "/metrics.jsonl", toPath: resumed + "/metrics.jsonl")

    let second = try bench.mpirun(
      ranks: 2, bench.options(output: resumed) + options + ["--resume"])
    try #require(second.status == 0, "\(second.errors)")
    #expect(second.errors.contains("step-00000010.h5"), "the damaged checkpoint is named")
    for file in ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"] {
      #expect(try bytes(of: "\(resumed)/\(file)") == bytes(of: "\(whole)/\(file)"), "\(file)")
    }
    // The same lines, apart from the second start's own and from times.
    func figures(_ output: String) throws -> [String] {
      try bench.metrics(output).compactMap { line in
        guard ["step", "eval"].contains(line["event"]?.string) else { return nil }
        return ["event", "step", "loss", "grad_norm", "tokens", "eval_loss", "learning_rate"]
          .map { line[$0]?.text() ?? "-" }.joined(separator: " ")
      }
    }
    #expect(try figures(resumed) == figures(whole))
  }

  @Test("Without a checkpoint, --resume starts afresh")
  func resumingNothing() throws {
    let bench = try Workbench()
    let result = try bench.run(
      bench.options(output: bench.path("out")) + ["--resume", "--max-steps", "2"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.errors.contains("starting afresh"))
  }

  @Test("config.yaml of a run repeats it")
  func repeating() throws {
    let bench = try Workbench()
    let first = try bench.run(bench.options(output: bench.path("first")))
    try #require(first.status == 0, "\(first.errors)")
    let second = try bench.run([
      "--config", bench.path("first/config.yaml"), "--output-dir", bench.path("second"),
    ])
    try #require(second.status == 0, "\(second.errors)")
    for file in ["adapter/adapter_model.safetensors", "config.yaml"] {
      #expect(try bytes(of: bench.path("first/\(file)")) == bytes(of: bench.path("second/\(file)")))
    }
  }
}
