import Foundation
import JSON
import TestSupport
import Testing

/// What earlier versions wrote (`Tests/Fixtures/promised`), read by this one.
@Suite("Formats of earlier versions", .serialized)
struct PromisedFormatTests {
  private let bench: Workbench
  private let model: String

  init() throws {
    bench = try Workbench()
    model = bench.path("model")
    try FileManager.default.copyItem(atPath: bench.model, toPath: model)
  }

  private func fixture(_ version: String, _ name: String) -> String {
    fixturePath("promised/\(version)/\(name)")
  }

  /// The loss of the validation split.
  private func loss(_ version: String, adapter: String) throws -> Double? {
    let result = try bench.run([
      "evaluate", "--model", model, "--adapter", adapter, "--data", fixture(version, "data.h5"),
      "--json", "--precision", "f32",
    ])
    try #require(result.status == 0, "\(result.errors)")
    return try JSONValue(parsing: Data(result.output.utf8))["loss"]?.double
  }

  @Test(
    "Datasets, checkpoints and adapters are read, and a run goes on to the same end",
    arguments: ["0.1"])
  func reads(version: String) throws {
    let stored = try JSONValue(parsing: Data(bytes(of: fixture(version, "evaluation.json"))))
    let expected = try #require(stored["loss"]?.double)
    let own = try #require(try loss(version, adapter: fixture(version, "adapter")))
    #expect(abs(own - expected) < 1e-6 * expected)

    let output = bench.path("out")
    let result = try bench.run([
      "--model", model, "--data", fixture(version, "data.h5"), "--output-dir", output, "--r", "2",
      "--target-modules", "all-linear", "--global-batch-size", "4", "--learning-rate", "0.01",
      "--max-steps", "6", "--num-epochs", "9", "--precision", "f32", "--lr-scheduler-type",
      "constant", "--save-steps", "3", "--resume", fixture(version, "checkpoint.h5"),
    ])
    try #require(result.status == 0, "\(result.errors)")
    #expect(result.errors.contains("after step 3"))
    let resumed = try #require(try loss(version, adapter: output + "/adapter"))
    #expect(abs(resumed - expected) < 1e-6 * expected)
    let start = try #require(try loss(version, adapter: fixture(version, "checkpoint.h5")))
    #expect(abs(start - expected) > 1e-2, "the steps matter")
    for name in ["data.h5", "checkpoint.h5", "adapter"] {
      let found = try bench.run(["inspect", fixture(version, name)])
      #expect(found.status == 0, "\(found.errors)")
    }
  }

  @Test("There is a fixture of each version that the documentation promises to read")
  func promised() throws {
    let text = try String(
      contentsOfFile: fixturePath("../../docs/formats.md"), encoding: .utf8)
    let versions = try FileManager.default.contentsOfDirectory(
      atPath: fixturePath("promised")
    ).filter { $0.first?.isNumber == true }
    #expect(!versions.isEmpty)
    for version in versions { #expect(text.contains("| \(version) |"), "\(version)") }
  }
}
