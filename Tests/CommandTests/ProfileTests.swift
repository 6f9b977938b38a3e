import Foundation
import JSON
import TestSupport
import Testing

@Suite("Speed, memory and profiles of a run", .serialized) struct ProfileTests {
  @Test("A run says what share of the peak its arithmetic is, and what memory it took")
  func speedAndMemory() throws {
    let bench = try Workbench()
    let result = try bench.run(bench.options(output: bench.path("out")))
    try #require(result.status == 0, "\(result.errors)")
    let lines = try bench.metrics(bench.path("out"))
    let run = try #require(lines.first)
    let end = try #require(lines.last)
    let peak = try #require(run["peak_flops_per_second"]?.double)
    #expect(peak > 1e7)
    let planned = try #require(run["planned_memory_bytes"]?.int)
    #expect(planned > (run["workspace_bytes"]?.int ?? .max))
    for line in lines where line["event"]?.string == "step" && line["loss"] != .null {
      let share = try #require(line["share_of_peak"]?.double)
      let useful = try #require(line["useful_flops_per_second"]?.double)
      #expect(share > 0 && share < 1 && abs(share * peak - useful) < 1e-6 * useful)
    }
    // Measured again at the end: what the processor can do is the most it was seen to do.
    let last = try #require(end["peak_flops_per_second"]?.double)
    #expect(last >= peak)
    let share = try #require(end["share_of_peak"]?.double)
    let useful = try #require(end["useful_flops_per_second"]?.double)
    #expect(abs(share * last - useful) < 1e-6 * useful)
    #expect((end["peak_memory_bytes"]?.int ?? 0) > planned / 2)
    for words in ["% of peak", "of useful arithmetic", "once a node", "planned"] {
      #expect(result.errors.contains(words), "\(words)")
    }
  }

  @Test("A profile has every rank's steps, nested and in order, and changes no bit")
  func profile() throws {
    let bench = try Workbench()
    let plain = bench.path("plain")
    let reference = try bench.run(bench.options(output: plain) + ["--threads", "2"])
    try #require(reference.status == 0, "\(reference.errors)")
    #expect(!FileManager.default.fileExists(atPath: plain + "/profile.json"))

    let output = bench.path("profiled")
    let result = try bench.mpirun(
      ranks: 2,
      bench.options(output: output) + ["--threads", "2", "--profile", "--eval-steps", "4"])
    try #require(result.status == 0, "\(result.errors)")
    let file = "adapter/adapter_model.safetensors"
    #expect(try bytes(of: "\(plain)/\(file)") == bytes(of: "\(output)/\(file)"))
    #expect(result.errors.contains("profile of steps 3 to 5, mean of 2 ranks"))
    for part in ["feed-forward", "adapter", "waiting for ranks", "between steps: evaluation"] {
      #expect(result.errors.contains(part), "\(part)")
    }

    let trace = try JSONValue(
      parsing: Data(contentsOf: URL(fileURLWithPath: output + "/profile.json")))
    let events = try #require(trace["traceEvents"]?.array)
    let timed = events.filter { $0["ph"]?.string == "X" }
    #expect(Set(timed.compactMap { $0["pid"]?.int }) == [0, 1])
    for rank in 0...1 {
      let own = timed.filter { $0["pid"]?.int == rank }
      let steps = own.filter { $0["cat"]?.string == "other" && $0["tid"]?.int == 0 }
      #expect(steps.compactMap { $0["name"]?.string } == ["step 3", "step 4", "step 5"])
      try checkNesting(own.filter { $0["tid"]?.int == 0 })
    }
    #expect(
      events.contains {
        $0["name"]?.string == "process_name"
          && $0["args"]?["name"]?.string?.hasPrefix("rank 1 on ") == true
      })
  }

  /// Of two stretches on one thread, either one holds the other or they do not touch.
  private func checkNesting(_ events: [JSONValue]) throws {
    let stretches = try events.map { event in
      let start = try #require(event["ts"]?.double)
      return (start: start, end: start + (try #require(event["dur"]?.double)))
    }.sorted { ($0.start, -$0.end) < ($1.start, -$1.end) }
    var open: [Double] = []
    for stretch in stretches {
      // Times are told to a nanosecond.
      while let end = open.last, end <= stretch.start + 0.0005 { open.removeLast() }
      if let end = open.last { #expect(stretch.end <= end + 0.002) }
      open.append(stretch.end)
    }
  }

  @Test("--profile takes a number, and a run too short for a warm-up is profiled all the same")
  func shortRun() throws {
    let bench = try Workbench()
    let options = bench.options(output: bench.path("out"))
    let result = try bench.run(options + ["--max-steps", "2", "--profile", "5"])
    try #require(result.status == 0, "\(result.errors)")
    #expect(result.errors.contains("profile of steps 1 to 2\n"))
    let configuration = try String(
      contentsOfFile: bench.path("out/config.yaml"), encoding: .utf8)
    #expect(!configuration.contains("profile"), "a run from it is not profiled")
  }
}
