import Foundation
import JSON
import TestSupport
import Testing

/// One system call of a small job fails, is short, or is the job's last, in many places by turns.
///
/// `make torture N=1000` tries a thousand of them; the test command some sixty.
@Suite("Whatever write fails, outputs are old or new, and whole", .serialized)
struct FaultTests {
  /// Injections of all scenarios together.
  private static let total =
    ProcessInfo.processInfo.environment["TORTURE"].flatMap { Int($0) } ?? 60
  /// Faults of calls that move bytes, and of all others.
  private static let writeKinds = ["EIO", "ENOSPC", "short", "kill", "torn", "ENOSPC+", "EINTR"]
  private static let otherKinds = ["EIO", "ENOSPC", "kill", "EACCES", "ENOSPC+"]

  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// A job that writes, and what may be found after a fault in it.
  private struct Scenario {
    let name: String
    /// Share of the injections.
    let share: Double
    let arguments: [String]
    /// What is there before, copied for each attempt; nil for nothing.
    let before: String?
    /// The file or directory whose bytes are compared.
    let result: String
    /// Whether it is a training run, which is resumed afterwards.
    let isRun: Bool
  }

  private struct Injection: CustomStringConvertible {
    let scenario: String
    let number: Int
    let call: String
    let kind: String
    var description: String { "\(scenario): \(kind) at call \(number) (\(call))" }
  }

  @Test("Training, going on, exporting, merging and preparing")
  func faults() throws {
    var outcomes: [String: Int] = [:]
    for scenario in try scenarios() {
      let reference = bench.path("reference")
      let calls = try record(scenario, into: reference)
      let wanted = max(1, Int(Double(Self.total) * scenario.share))
      for injection in Self.choose(wanted, of: calls, scenario) {
        let outcome = try attempt(injection, scenario, reference: reference)
        outcomes["\(injection.kind): \(outcome)", default: 0] += 1
        outcomes["in all", default: 0] += 1
      }
      try FileManager.default.removeItem(atPath: reference)
    }
    for (outcome, count) in outcomes.sorted(by: { $0.key < $1.key }) {
      print("\(outcome): \(count)")
    }
  }

  private func scenarios() throws -> [Scenario] {
    let finished = bench.path("finished")
    let train =
      [
        "--model", bench.model, "--data", bench.data, "--global-batch-size", "5", "--r", "2",
        "--learning-rate", "0.02", "--num-epochs", "9", "--save-steps", "1", "--save-total-limit",
        "2", "--logging-steps", "1", "--threads", "1", "--resume",
      ]
    let first = try bench.run(train + ["--max-steps", "2", "--output-dir", finished])
    try #require(first.status == 0, "\(first.errors)")
    let rows = bench.path("rows.jsonl")
    try write("{\"text\": \"one two three\"}\n{\"text\": \"four five\"}\n".utf8, to: rows)
    let checkpoint = finished + "/checkpoints/step-00000002.h5"
    return [
      Scenario(
        name: "train", share: 0.4, arguments: train + ["--max-steps", "2", "--output-dir"],
        before: nil, result: "adapter", isRun: true),
      Scenario(
        name: "go on", share: 0.3, arguments: train + ["--max-steps", "3", "--output-dir"],
        before: finished, result: "adapter", isRun: true),
      Scenario(
        name: "export", share: 0.1, arguments: ["export", checkpoint, "--output-dir"], before: nil,
        result: "", isRun: false),
      Scenario(
        name: "merge", share: 0.1,
        arguments: [
          "merge", "--model", bench.model, "--adapter", finished + "/adapter", "--output-dir",
        ], before: nil, result: "", isRun: false),
      Scenario(
        name: "prepare", share: 0.1,
        arguments: [
          "prepare", "--tokenizer", fixturePath("tokenizers/gpt2.json"), "--no-append-eos",
          "--input", rows, "--output",
        ], before: bench.data, result: "", isRun: false),
    ]
  }

  /// Runs a scenario undisturbed; returns its calls in their order.
  private func record(_ scenario: Scenario, into path: String) throws -> [String] {
    if let before = scenario.before {
      try FileManager.default.copyItem(atPath: before, toPath: path)
    }
    let log = bench.path("calls")
    defer { try? FileManager.default.removeItem(atPath: log) }
    let result = try run(scenario, path, ["FAULT_LOG": log])
    try #require(result.status == 0, "\(result.errors)")
    let calls = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
      .compactMap { $0.split(separator: " ").dropFirst().first.map(String.init) }
    // A job whose calls the injector does not see would pass every test.
    try #require(calls.contains("fsync") && calls.contains("rename"))
    return calls
  }

  private func run(
    _ scenario: Scenario, _ path: String, _ faults: [String: String] = [:]
  ) throws -> ProcessResult {
    var environment = faults
    if !faults.isEmpty {
      environment["LD_PRELOAD"] = ProcessRunner.built("libfault-injector.so").path
      // Partial directories lie beside their places.
      environment["FAULT_PATH"] = bench.directory.path
    }
    return try bench.run(scenario.arguments + [path], environment: environment)
  }

  /// Injections spread evenly over the calls, and over the kinds of fault that each can have.
  private static func choose(
    _ count: Int, of calls: [String], _ scenario: Scenario
  ) -> [Injection] {
    (0..<count).map { index in
      let place = index * calls.count / count
      // With few injections neighbours differ in kind; with many every call meets every kind.
      let round =
        count > calls.count ? index - (place * count + calls.count - 1) / calls.count : index
      let call = calls[place]
      let kinds = ["write", "pwrite"].contains(call) ? writeKinds : otherKinds
      return Injection(
        scenario: scenario.name, number: place + 1, call: call, kind: kinds[round % kinds.count])
    }
  }

  /// One disturbed job, what it leaves, and the same job again.
  private func attempt(
    _ injection: Injection, _ scenario: Scenario, reference: String
  ) throws -> String {
    let path = bench.path("place")
    defer { try? FileManager.default.removeItem(atPath: path) }
    if let before = scenario.before {
      try FileManager.default.copyItem(atPath: before, toPath: path)
    }
    var faults = ["FAULT_AT": "\(injection.number)", "FAULT_KIND": injection.kind]
    if injection.kind.hasSuffix("+") {
      faults["FAULT_KIND"] = String(injection.kind.dropLast())
      faults["FAULT_STAYS"] = "1"
    }
    let result = try run(scenario, path, faults)
    let outcome: String
    switch result.status {
    case 0: outcome = "went on"
    case 73:
      outcome = "named"
      #expect(lastLine(result).contains(path), "\(injection): \(lastLine(result))")
      #expect(lastLine(result).count < 500 + path.count, "\(injection): \(lastLine(result))")
    case 128 + SIGKILL where ["kill", "torn"].contains(injection.kind): outcome = "killed"
    default:
      outcome = "status \(result.status)"
      Issue.record("\(injection): status \(result.status): \(result.errors.suffix(2000))")
    }
    let old = try scenario.before.map { try Self.contents($0, scenario.result) } ?? nil
    let new = try Self.contents(reference, scenario.result)
    let found = try Self.contents(path, scenario.result)
    #expect(found == old || found == new, "\(injection): neither old nor new, but \(found ?? [:])")
    if result.status == 0 { #expect(found == new, "\(injection): said to be done") }

    if result.status != 0 || scenario.isRun {
      let again = try run(scenario, path)
      if result.status != 0 || scenario.isRun {
        let isDone = !scenario.isRun && found == new && scenario.before == nil
        #expect(
          again.status == (isDone ? 73 : 0), "\(injection): again: \(again.errors.suffix(2000))")
      }
      #expect(try Self.contents(path, scenario.result) == new, "\(injection): done again")
    }
    if scenario.isRun { try checkMetrics(path, reference, injection) }
    let leftovers = try Self.leftovers(bench.directory.path)
    #expect(leftovers.isEmpty, "\(injection): left over: \(leftovers)")
    return outcome
  }

  /// Every line is whole, and every step has one.
  private func checkMetrics(_ path: String, _ reference: String, _ injection: Injection) throws {
    func steps(_ path: String) throws -> [Int] {
      try bench.metrics(path).filter { $0["event"] == "step" }.compactMap { $0["step"]?.int }
    }
    #expect(try steps(path) == steps(reference), "\(injection): the steps in metrics.jsonl")
  }

  /// The bytes of every file below a path, by name; nil where nothing is there.
  private static func contents(_ path: String, _ member: String) throws -> [String: Data]? {
    let place = member.isEmpty ? path : "\(path)/\(member)"
    let manager = FileManager.default
    guard manager.fileExists(atPath: place) else { return nil }
    guard let names = try? manager.subpathsOfDirectory(atPath: place) else {
      return ["": try Data(contentsOf: URL(fileURLWithPath: place))]
    }
    return Dictionary(
      uniqueKeysWithValues: try names.map {
        ($0, try Data(contentsOf: URL(fileURLWithPath: "\(place)/\($0)")))
      })
  }

  /// Names of partial files anywhere below a directory.
  private static func leftovers(_ path: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: path).filter {
      $0.contains(".partial-") || $0.contains(".replaced-") || $0.contains("nosync")
    }
  }
}
