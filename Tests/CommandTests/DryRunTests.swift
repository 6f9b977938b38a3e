import Foundation
import JSON
import PEFT
import TestSupport
import Testing
import Training

@Suite("Before a run", .serialized)
struct DryRunTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  @Test("Every example is a run that would begin", arguments: PEFTMethods.names)
  func examples(method: String) throws {
    let example = fixturePath("../../examples/\(method).yaml")
    // The tiny base has 32 inputs to share.
    let smaller = method == "miss" ? ["--r", "8"] : []
    let result = try bench.run(
      [
        "train", "--config", example, "--model", bench.model, "--data", bench.data, "--output-dir",
        bench.path("out"), "--dry-run",
      ] + smaller)
    #expect(result.status == 0, "\(result.errors)")
    #expect(lastLine(result).contains("dry run: 3 steps would follow"), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: bench.path("out")))
  }

  @Test("A dry run ends as the run would where that could not begin, on two ranks too")
  func wrong() throws {
    let out = bench.path("out")
    let options = bench.options(output: out) + ["--dry-run"]
    #expect(try bench.mpirun(ranks: 2, options).status == 0)
    #expect(!FileManager.default.fileExists(atPath: out))
    let layers = try bench.run(options + ["--layers-to-transform", "7"])
    #expect(layers.status == 64, "\(layers.errors)")
    let data = try bench.run(options.map { $0 == bench.data ? bench.path("none.h5") : $0 })
    #expect(data.status == 65)
    let place = try bench.run(options.map { $0 == out ? bench.data + "/out" : $0 })
    #expect(place.status == 73, "\(place.errors)")
    let run = try bench.run(bench.options(output: out) + ["--max-steps", "1"])
    #expect(run.status == 0)
    let taken = try bench.run(options)
    #expect(taken.status == 73 && lastLine(taken).contains("already holds a run"))
    let resumed = try bench.run(options + ["--resume"])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(lastLine(resumed).contains("dry run: "))
  }

  @Test("--print-config is a run's whole configuration, which gives the same adapter")
  func printed() throws {
    let options = bench.options(output: bench.path("one")) + ["--max-steps", "3"]
    let printed = try bench.run(options + ["--print-config"])
    #expect(printed.status == 0 && printed.errors.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: bench.path("one")))
    try write(printed.output.utf8, to: bench.path("run.yaml"))
    #expect(try bench.run(options).status == 0)
    let again = try bench.run([
      "train", "--config", bench.path("run.yaml"), "--output-dir", bench.path("two"),
    ])
    #expect(again.status == 0, "\(again.errors)")
    let adapter = "/adapter/adapter_model.safetensors"
    #expect(
      try bytes(of: bench.path("one" + adapter)) == bytes(of: bench.path("two" + adapter)))
    let wrong = try bench.run(["train", "--print-config", "--method", "lara"])
    #expect(wrong.status == 64)
    #expect(try bench.run(["train", "--print-schema"]).output == RunOption.schema)
  }
}
