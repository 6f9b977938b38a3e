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
    // Long enough to learn, short enough to have a loss that is not chance.
    let losses = try ["f32", "bf16"].map { precision in
      let output = directory.path(precision)
      let result = try ProcessRunner.run(
        Workbench.program,
        ["--precision", precision, "--max-steps", "60", "--output-dir", output])
      try #require(result.status == 0, "\(result.errors)")
      let lines = try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8)
        .split(separator: "\n").map { try JSONValue(parsing: Data($0.utf8)) }
      return try #require(lines.last { $0["event"] == "eval" }?["eval_loss"]?.double)
    }
    #expect(losses[0] < 1, "it learns")
    #expect(abs(losses[1] - losses[0]) <= 0.005 * losses[0], "\(losses)")
  }
}
