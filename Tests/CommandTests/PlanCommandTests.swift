import Foundation
import JSON
import TestSupport
import Testing

@Suite("The plan of a run") struct PlanCommandTests {
  private func plan(_ bench: Workbench, _ arguments: [String]) throws -> JSONValue {
    // No --output-dir: what is written would lie in the working directory.
    var options = bench.options(output: "")
    options.removeSubrange(4..<6)
    let result = try bench.run(["plan", "--json"] + options + arguments)
    try #require(result.status == 0, "\(result.errors)")
    return try JSONValue(parsing: Data(result.output.utf8))
  }

  @Test("It plans the memory, the steps and the messages that the run then has")
  func agrees() throws {
    let bench = try Workbench()
    let plan = try plan(bench, ["--ranks", "2", "--threads", "1"])
    let output = bench.path("out")
    let result = try bench.mpirun(ranks: 2, bench.options(output: output) + ["--threads", "1"])
    try #require(result.status == 0, "\(result.errors)")
    let lines = try bench.metrics(output)
    let run = try #require(lines.first)
    for (ours, theirs) in [
      ("workspace_bytes", "workspace_bytes"), ("steps", "total_steps"), ("ranks", "world_size"),
      ("trainable_parameters", "trainable_parameters"), ("total_parameters", "total_parameters"),
    ] {
      #expect(plan[ours]?.int != nil && plan[ours] == run[theirs], "\(ours)")
    }
    let steps = lines.filter { $0["event"]?.string == "step" }
    let reduced = steps.compactMap { $0["allreduce_bytes"]?.int }.max()
    #expect(plan["allreduce_bytes"]?.int == reduced)
    let tokens = try #require(steps.last?["tokens"]?.double)
    let planned = try #require(plan["tokens_per_step"]?.double)
    #expect(abs(planned * Double(steps.count) - tokens) < 1e-6 * tokens)
    #expect((plan["seconds_per_step"]?.double ?? 0) > 0)
    // The other rank of the node computes, too, where there is a core for it.
    #expect(
      plan["measured_beside"]?.int == min(2, ProcessInfo.processInfo.activeProcessorCount) - 1)
    #expect(plan["fits"]?.bool == true)
    let size = try #require(
      try FileManager.default.attributesOfItem(atPath: output + "/checkpoints/step-00000012.h5")[
        .size] as? Int)
    let checkpoint = try #require(plan["checkpoint_bytes"]?.int)
    #expect(checkpoint < size && size < checkpoint + 200_000)
  }

  @Test(
    "Processes that compute beside a plan end with it, though it is killed",
    .enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
  func neighbours() throws {
    let bench = try Workbench()
    let options =
      ["plan", "--ranks", "2", "--threads", "1"] + bench.options(output: bench.path("out"))
    let process = try ProcessRunner.start(Workbench.program, options)
    defer { process.send(signal: SIGKILL) }
    let word = bench.path("out")
    #expect(process.waitUntil(timeoutSeconds: 60) { _ in Self.count(mentioning: word) == 2 })
    process.send(signal: SIGKILL)
    let deadline = Date() + 60 * ProcessRunner.timeoutScale
    while Self.count(mentioning: word) > 0 && Date() < deadline { usleep(50_000) }
    #expect(Self.count(mentioning: word) == 0)
  }

  /// Running processes with a word in their command lines.
  private static func count(mentioning word: String) -> Int {
    let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return processes.count { process in
      guard Int(process) != nil,
        let line = FileManager.default.contents(atPath: "/proc/\(process)/cmdline")
      else { return false }
      return String(decoding: line, as: UTF8.self).contains(word)
    }
  }

  @Test("A plan for another machine does not read the base's numbers")
  func readsShapesAlone() throws {
    let bench = try Workbench()
    let model = bench.path("model")
    try FileManager.default.copyItem(atPath: bench.model, toPath: model)
    let weights = URL(fileURLWithPath: model + "/model.safetensors")
    var bytes = try Data(contentsOf: weights)
    // Not a number, in whatever type: training refuses it.
    bytes.replaceSubrange(bytes.count - 64..<bytes.count, with: Data(repeating: 0xff, count: 64))
    try bytes.write(to: weights)
    var options = bench.options(output: bench.path("out"))
    options[1] = model
    let run = try bench.run(["train", "--dry-run"] + options)
    #expect(run.status == 65, "\(run.errors)")
    let planned = try bench.run(["plan", "--json", "--flops", "10"] + options)
    #expect(planned.status == 0, "\(planned.errors)")
  }

  @Test("Micro-batches cut by tokens take the memory that is planned")
  func tokens() throws {
    let bench = try Workbench()
    let cut = ["--micro-batch-tokens", "30", "--threads", "1"]
    let (few, many) = (try plan(bench, cut), try plan(bench, ["--micro-batch-tokens", "60"]))
    let output = bench.path("out")
    let result = try bench.run(bench.options(output: output) + cut)
    try #require(result.status == 0, "\(result.errors)")
    let run = try #require(try bench.metrics(output).first)
    #expect(few["workspace_bytes"]?.int != nil && few["workspace_bytes"] == run["workspace_bytes"])
    #expect((few["workspace_bytes"]?.int ?? 0) < (many["workspace_bytes"]?.int ?? 0))
  }

  @Test("It plans the memory that a run of one process then has, answers to prompts among it")
  func memory() throws {
    let bench = try Workbench()
    let output = bench.path("out")
    let plan = try plan(bench, ["--threads", "1"])
    let result = try bench.run(bench.options(output: output) + ["--threads", "1"])
    try #require(result.status == 0, "\(result.errors)")
    let end = try #require(try bench.metrics(output).last)
    let (planned, measured) = (
      plan["rank_bytes"]?.double ?? 0, end["peak_memory_bytes"]?.double ?? 1
    )
    #expect(abs(planned / measured - 1) < 0.15, "\(planned) planned, \(measured) measured")
  }

  @Test("Without a model it plans the demo as train runs it")
  func demo() throws {
    func figures(_ options: [String]) throws -> [JSONValue?] {
      let result = try ProcessRunner.run(
        ProcessRunner.built("swift-peft-train"), ["plan", "--json", "--flops", "10"] + options)
      try #require(result.status == 0, "\(result.errors)")
      let plan = try JSONValue(parsing: Data(result.output.utf8))
      return [plan["workspace_bytes"], plan["steps"], plan["trainable_parameters"]]
    }
    let own = [
      "--micro-batch-size", "8", "--global-batch-size", "16", "--r", "16", "--target-modules",
      "all-linear",
    ]
    #expect(try figures([]) == figures(own))
    #expect(try figures([]) != figures(["--micro-batch-size", "1"]))
  }

  @Test("A table of ranks has every power of two, each no more efficient than one rank")
  func scaling() throws {
    let bench = try Workbench()
    let plan = try plan(
      bench,
      [
        "--ranks", "8", "--ranks-per-node", "2", "--scaling-table", "--flops", "10", "--spread",
        "0.05",
      ])
    let rows = try #require(plan["scaling"]?.array)
    #expect(rows.map { $0["ranks"]?.int } == [1, 2, 4, 8])
    let weak = rows.compactMap { $0["weak"]?["efficiency"]?.double }
    #expect(weak.count == 4 && weak.allSatisfy { $0 > 0 && $0 <= 1.000_001 })
    #expect(weak[0] > 0.999 && weak[3] < weak[0])
    // Fewer micro-batches than ranks are no step of eight ranks.
    #expect(rows[0]["strong"]?["efficiency"]?.double ?? 0 > 0.999)
  }

  @Test("What does not fit is said, with what would")
  func tooLarge() throws {
    let bench = try Workbench()
    let four = ["--ranks", "4", "--ranks-per-node", "4"]
    let node = try plan(bench, four)
    let own = try #require(node["rank_own_bytes"]?.int)
    let shared = try #require(node["node_bytes"]?.int) - 4 * own
    // Room for a rank and a half.
    let memory = "\((Double(shared) + 1.5 * Double(own)) / 0x1p30)"
    let tight = try plan(bench, four + ["--node-memory", memory])
    #expect(tight["fits"]?.bool == false)
    let problem = try #require(tight["problems"]?.array?.first?.string)
    #expect(problem.contains("at most 1 rank a node"), "\(problem)")
  }

  @Test("More ranks on a slower network spend more of a step waiting")
  func network() throws {
    let bench = try Workbench()
    let times = try ["IB", "10GbE"].map { name in
      try #require(
        try plan(
          bench, ["--ranks", "64", "--ranks-per-node", "1", "--network", name, "--flops", "10"])[
            "seconds_of_communication"]?.double)
    }
    #expect(times[0] > 0 && times[0] < times[1])
  }

  @Test("The lines for Slurm say nodes, ranks, threads, memory and time")
  func slurm() throws {
    let bench = try Workbench()
    var options = bench.options(output: "")
    options.removeSubrange(4..<6)
    let result = try bench.run(
      ["plan", "--slurm", "--ranks", "6", "--ranks-per-node", "4", "--threads", "2"] + options)
    try #require(result.status == 0, "\(result.errors)")
    for line in ["--nodes=2", "--ntasks=6", "--ntasks-per-node=4", "--cpus-per-task=2", "--mem="] {
      #expect(result.output.contains("#SBATCH \(line)"), "\(line)")
    }
  }

  @Test("Wrong questions are answered before anything is opened")
  func wrong() throws {
    let bench = try Workbench()
    let network = try bench.run(["plan", "--network", "token-ring"])
    #expect(network.status == 64 && network.errors.contains("10GbE, 100GbE, IB"))
    let ranks = try bench.run(["plan", "--ranks", "0"])
    #expect(ranks.status == 64)
    let launched = try bench.mpirun(
      ranks: 2, ["plan", "--model", bench.model, "--data", bench.data])
    #expect(launched.status == 64 && launched.errors.contains("--ranks 2"))
  }
}
