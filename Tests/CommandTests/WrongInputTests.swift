import Foundation
import TestSupport
import Testing

@Suite("Wrong input ends with the promised status and says what to do", .serialized)
struct WrongInputTests {
  let bench: Workbench

  init() throws { bench = try Workbench() }

  private func expect(
    _ status: Int32, _ parts: [String], _ arguments: [String],
    location: SourceLocation = #_sourceLocation
  ) throws {
    let result = try bench.run(arguments)
    #expect(result.status == status, "\(result.errors)", sourceLocation: location)
    for part in parts {
      #expect(
        lastLine(result).contains(part), "\(part) in: \(result.errors)", sourceLocation: location)
    }
  }

  private func train(_ more: String...) -> [String] {
    bench.options(output: bench.path("out")) + more
  }

  @Test("An unknown option names the nearest, or ours for another trainer's")
  func unknownOption() throws {
    try expect(64, ["--learning-rte", "--learning-rate"], train("--learning-rte", "1"))
    try expect(64, ["--lora-r", "--r"], train("--lora-r", "1"))
    try expect(64, ["global_batch_size"], train("--gradient-accumulation-steps", "2"))
  }

  @Test("An unknown YAML key names the nearest and its line")
  func unknownKey() throws {
    let path = bench.path("run.yaml")
    try "seed: 1\nlerning_rate: 2\n".write(toFile: path, atomically: true, encoding: .utf8)
    try expect(64, ["lerning_rate", "'learning_rate'", "line 2"], train("--config", path))
  }

  @Test("A value of the wrong kind, a missing configuration and a conflict are usage errors")
  func usage() throws {
    try expect(64, ["--learning-rate", "'fast'", "number"], train("--learning-rate", "fast"))
    try expect(64, ["nowhere.yaml"], train("--config", "nowhere.yaml"))
    try expect(64, ["micro_batch_size"], train("--micro-batch-size", "6"))
    try expect(64, ["lora-alpha", "number"], train("--lora-alpha", "x"))
    try expect(64, ["sing", "lora"], train("--method", "sing"))
    try expect(
      64, ["'r'"], ["--model", bench.model, "--data", bench.data, "--method", "full", "--r", "2"])
    try expect(64, ["q_prj"], train("--target-modules", "q_prj"))
    try expect(64, ["--learning-rate", "'-1'", "at least 0"], train("--learning-rate", "-1"))
    try expect(64, ["--warmup-ratio", "'-.5'"], train("--warmup-ratio", "-.5"))
    try expect(
      64, ["'evalute' is no command", "'evaluate'"], ["evalute", "--model", bench.model])
    try expect(64, ["'demo' is no command", "without any it trains on the demo"], ["demo"])
    try expect(64, ["--data"], ["evaluate", "--model", bench.model])
  }

  @Test("A base that is missing, unknown, truncated or misshapen is an input error")
  func base() throws {
    func model(_ name: String, change: (String) throws -> Void) throws -> [String] {
      let path = bench.path(name)
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      for file in ["config.json", "model.safetensors"] {
        try Data(bytes(of: "\(bench.model)/\(file)")).write(
          to: URL(fileURLWithPath: "\(path)/\(file)"))
      }
      try change(path)
      return ["--model", path, "--data", bench.data, "--output-dir", bench.path("out")]
    }
    try expect(65, ["nowhere"], ["--model", "nowhere", "--data", bench.data])
    try expect(
      65, ["mamba", "llama"],
      model("unknown") {
        let config = try String(contentsOfFile: $0 + "/config.json", encoding: .utf8)
        try config.replacing("\"model_type\": \"llama\"", with: "\"model_type\": \"mamba\"")
          .write(toFile: $0 + "/config.json", atomically: true, encoding: .utf8)
      })
    try expect(
      65, ["model.safetensors"],
      model("truncated") {
        let content = try bytes(of: $0 + "/model.safetensors")
        try Data(content.dropLast(10)).write(to: URL(fileURLWithPath: $0 + "/model.safetensors"))
      })
    try expect(
      65, ["model.safetensors"],
      model("lying") {
        var content = try bytes(of: $0 + "/model.safetensors")
        content[4] = 1
        try Data(content).write(to: URL(fileURLWithPath: $0 + "/model.safetensors"))
      })
    try expect(
      65, ["configuration asks"],
      model("misshapen") {
        let config = try String(contentsOfFile: $0 + "/config.json", encoding: .utf8)
        let wrong = config.replacing("\"vocab_size\": 53", with: "\"vocab_size\": 52")
        try #require(wrong != config)
        try wrong.write(toFile: $0 + "/config.json", atomically: true, encoding: .utf8)
      })
  }

  @Test("A missing shard is named")
  func shard() throws {
    let path = bench.path("sharded")
    try FileManager.default.copyItem(atPath: fixturePath("model/llama-sharded"), toPath: path)
    let shards = try FileManager.default.contentsOfDirectory(atPath: path)
      .filter { $0.hasPrefix("model-00002") }
    let shard = try #require(shards.first)
    try FileManager.default.removeItem(atPath: "\(path)/\(shard)")
    try expect(65, [shard], ["--model", path, "--data", bench.data])
  }

  @Test(
    "A dataset that is empty, foreign, beyond the vocabulary or without targets is an input error")
  func dataset() throws {
    func data(_ name: String) -> [String] {
      [
        "--model", bench.model, "--data", bench.path(name), "--output-dir", bench.path("out"),
      ]
    }
    try expect(65, ["nowhere.h5"], data("nowhere.h5"))
    try Data("not HDF5 at all".utf8).write(to: URL(fileURLWithPath: bench.path("text.h5")))
    try expect(65, ["text.h5"], data("text.h5"))
    try Workbench.writeDataset(to: bench.path("large.h5"), vocabulary: 70)
    try expect(65, ["large.h5", "70", "53"], data("large.h5"))
    try Workbench.writeDataset(to: bench.path("silent.h5"), counts: false)
    try expect(65, ["silent.h5"], data("silent.h5"))
    let whole = try bytes(of: bench.data)
    try Data(whole.dropLast(whole.count / 2)).write(
      to: URL(fileURLWithPath: bench.path("half.h5")))
    try expect(65, ["half.h5"], data("half.h5"))
  }

  @Test("An output directory that cannot be made, or holds another run, is an output error")
  func output() throws {
    try expect(
      73, ["/proc/none"],
      ["--model", bench.model, "--data", bench.data, "--output-dir", "/proc/none/out"])
    try FileManager.default.createDirectory(
      atPath: bench.path("out/checkpoints"), withIntermediateDirectories: true)
    try expect(73, ["out", "--resume"], train())
  }

  @Test("A checkpoint of another run is refused by what differs")
  func otherRun() throws {
    let first = try bench.run(train("--max-steps", "2"))
    try #require(first.status == 0, "\(first.errors)")
    try expect(64, ["learning_rate", "0.02", "0.5"], train("--resume", "--learning-rate", "0.5"))
    try expect(64, ["3", "4"], train("--resume", "--r", "4"))
    try Workbench.writeDataset(to: bench.data, tokenBelow: 50)
    try expect(64, ["dataset"], train("--resume"))
  }

  @Test("One rank with a damaged file ends the job with one message")
  func oneRank() throws {
    for (folder, isDamaged) in [("good", false), ("bad", true)] {
      let path = bench.path(folder)
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let content = try bytes(of: bench.data)
      try Data(isDamaged ? content.dropLast(500) : content[...]).write(
        to: URL(fileURLWithPath: path + "/data.h5"))
    }
    let script = """
      [ "$OMPI_COMM_WORLD_RANK" = 1 ] && cd \(bench.path("bad")) || cd \(bench.path("good"))
      exec \(Workbench.program.path) --model \(bench.model) --data data.h5 --output-dir out
      """
    let result = try ProcessRunner.mpirun(
      ranks: 3, URL(fileURLWithPath: "/bin/sh"), ["-c", script])
    #expect(result.status == 65, "\(result.errors)")
    let messages = result.errors.split(separator: "\n").filter { $0.contains("data.h5") }
    #expect(messages.count == 1, "\(result.errors)")
    #expect(messages.first?.hasPrefix("[rank 1/3]") == true, "\(result.errors)")
  }

  @Test("A process that its launcher calls one of eight but that is alone is an error")
  func lyingWorldSize() throws {
    let result = try bench.run(
      train(), environment: ["OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "0"])
    #expect(result.status == 64, "\(result.errors)")
    #expect(result.errors.contains("8"))
    #expect(!FileManager.default.fileExists(atPath: bench.path("out")))
  }
}
