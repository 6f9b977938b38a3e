import Foundation
import JSON
import TestSupport
import Testing

/// What the program does without an argument.
@Suite("The demo", .serialized) struct DemoTests {
  @Test("The base cannot do the task, the adapter can")
  func score() throws {
    let directory = try TemporaryDirectory()
    let result = try ProcessRunner.run(
      Workbench.program, ["--output-dir", directory.path("run")])
    try #require(result.status == 0, "\(result.errors)")
    let text = result.output + result.errors
    func exact(_ line: String) throws -> Int {
      let rest = try #require(text.range(of: line), "\(text)")
      return try #require(
        Int(text[rest.upperBound...].drop { $0 == " " }.prefix { $0.isNumber }), "\(text)")
    }
    #expect(try exact("Held-out score before:") <= 2)
    #expect(try exact("Held-out score after:") >= 108, "90 % of 120")
  }

  @Test("An adapter trained in bf16 is as good as one trained in f32")
  func precisions() throws {
    let directory = try TemporaryDirectory()
    // Before the loss falls in a few steps from half a nat to a thousandth: there, and on what is
    // left, a step earlier or later is a tenth of the loss, in either precision.
    let early = try ["f32", "bf16"].map { precision in
      try loss(precision, maxSteps: 30, in: directory.path("early-" + precision))
    }
    #expect(early[0] < 0.6, "it learns")
    #expect(abs(early[1] - early[0]) <= 0.005 * early[0], "\(early)")
    let last = try ["f32", "bf16"].map { precision in
      try loss(precision, maxSteps: 0, in: directory.path("last-" + precision))
    }
    #expect(last.allSatisfy { $0 < 0.005 }, "both have learnt it: \(last)")
  }

  /// The evaluation loss at the end of a run.
  private func loss(_ precision: String, maxSteps: Int, in output: String) throws -> Double {
    let length = maxSteps > 0 ? ["--max-steps", String(maxSteps)] : []
    let result = try ProcessRunner.run(
      Workbench.program, ["--precision", precision, "--output-dir", output] + length)
    try #require(result.status == 0, "\(result.errors)")
    let lines = try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8)
      .split(separator: "\n").map { try JSONValue(parsing: Data($0.utf8)) }
    return try #require(lines.last { $0["event"] == "eval" }?["eval_loss"]?.double)
  }
}
