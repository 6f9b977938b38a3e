import Foundation
import TestSupport
import Testing

/// `inspect --verify`: the base and the dataset that something was trained on, all of their bytes.
@Suite("inspect --verify names a base or dataset that changed")
struct VerifyTests {
  private let bench: Workbench
  private let manager = FileManager.default

  init() throws { bench = try Workbench() }

  /// Changes one bit in the middle of a file.
  private func flip(_ path: String) throws {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
  }

  @Test("For an adapter, a checkpoint, an export and a run")
  func changes() throws {
    let base = bench.path("base")
    try manager.copyItem(atPath: bench.model, toPath: base)
    let trained = try bench.run([
      "--model", base, "--data", bench.data, "--output-dir", bench.path("run"),
      "--global-batch-size", "5", "--max-steps", "2", "--threads", "1",
    ])
    try #require(trained.status == 0, "\(trained.errors)")
    let checkpoint = bench.path("run/checkpoints/step-00000002.h5")
    let exported = try bench.run([
      "export", checkpoint, "--output-dir", bench.path("exported"),
    ])
    try #require(exported.status == 0, "\(exported.errors)")
    let all = ["run/adapter", "exported", "run", "run/checkpoints/step-00000002.h5"]
    func inspect(_ path: String, _ more: [String] = []) throws -> ProcessResult {
      try bench.run(["inspect", bench.path(path), "--verify"] + more)
    }
    for path in all {
      let sound = try inspect(path)
      #expect(sound.status == 0, "\(path): \(sound.errors)")
      #expect(sound.output.contains("base_verified: true"), "\(sound.output)")
      #expect(sound.output.contains("dataset_verified: true"), "\(sound.output)")
    }

    try flip(base + "/model.safetensors")
    for path in all {
      let result = try inspect(path)
      #expect(result.status == 65)
      #expect(lastLine(result).contains(base), "\(lastLine(result))")
      // The base as it was, elsewhere.
      #expect(try inspect(path, ["--model", bench.model]).status == 0)
    }
    try manager.removeItem(atPath: base)
    let none = try inspect("run/adapter")
    #expect(none.status == 65 && lastLine(none).contains("--model"), "\(none.errors)")

    try Workbench.writeDataset(to: bench.path("other.h5"), tokenBelow: 20)
    try manager.removeItem(atPath: bench.data)
    try manager.moveItem(atPath: bench.path("other.h5"), toPath: bench.data)
    let data = try inspect("run/adapter", ["--model", bench.model])
    #expect(data.status == 65 && lastLine(data).contains(bench.data), "\(data.errors)")

    let model = try bench.run(["inspect", bench.model, "--verify"])
    #expect(model.status == 65 && lastLine(model).contains("does not say"), "\(model.errors)")
  }
}
