import Foundation
import TestSupport
import Testing

/// One bit of one rank flips, in a place and at a moment chosen at random: it is found and named.
@Suite("Bits that flip are found", .serialized)
struct FlipTests {
  private static let count = Torture.count ?? 20
  /// Flips that one job does.
  private static let batch = 100

  @Test("In adapter, moments, and base, on two and three ranks")
  func flips() throws {
    let bench = try Workbench()
    let base = bench.path("base")
    try FileManager.default.copyItem(atPath: bench.model, toPath: base)
    let path = bench.path("run.yaml")
    try write(
      """
      model: \(base)
      data: \(bench.data)
      output_dir: \(bench.path("out"))
      global_batch_size: 5
      threads: 1
      logging_steps: 0
      learning_rate: 0.02
      max_steps: 5
      num_epochs: 100
      save_steps: 5
      """.utf8, to: path)
    var state = Torture.State(name: "flips")
    while state.done < Self.count {
      let end = min(state.done + Self.batch, Self.count)
      let result = try ProcessRunner.mpirun(
        ranks: 2 + state.done / Self.batch % 2, ProcessRunner.built("training-probe"),
        [path, "flips=\(state.done),\(end)"], timeoutSeconds: 600)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.outputLines.last == "missed: 0", "\(result.output)")
      print(result.output)
      if result.status != 0 { break }
      state.done = end
    }
  }
}
