import Foundation
import TestSupport
import Testing

/// What the file on ranks and threads says of LoRA, said of all methods, in both precisions.
@Suite("Every method, in f32 and in bf16", .serialized) struct MethodDeterminismTests {
  @Test(
    "Ranks, and resuming in mid-schedule, change no bit", arguments: MethodCase.all,
    ["f32", "bf16"])
  func sameBits(method: MethodCase, precision: String) throws {
    let bench = try Workbench()
    let options =
      [
        "--precision", precision, "--threads", "1",
        "--model", bench.model, "--data", bench.data, "--global-batch-size", "5",
        "--num-epochs", "4", "--learning-rate", "0.01", "--warmup-steps", "2", "--save-steps", "5",
        "--save-total-limit", "0",
      ] + method.arguments
    let (alone, three, resumed) = (bench.path("1"), bench.path("3"), bench.path("2"))
    let first = try bench.run(options + ["--output-dir", alone])
    try #require(first.status == 0, "\(first.errors)")
    let second = try bench.mpirun(ranks: 3, options + ["--output-dir", three])
    try #require(second.status == 0, "\(second.errors)")
    // What a run that was killed after its first checkpoint leaves.
    try FileManager.default.createDirectory(
      atPath: resumed + "/checkpoints", withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: alone + "/checkpoints/step-00000005.h5",
      toPath: resumed + "/checkpoints/step-00000005.h5")
    let third = try bench.mpirun(ranks: 2, options + ["--output-dir", resumed, "--resume"])
    try #require(third.status == 0, "\(third.errors)")
    for file in try FileManager.default.contentsOfDirectory(atPath: alone + "/adapter").sorted() {
      let expected = try bytes(of: "\(alone)/adapter/\(file)")
      #expect(try bytes(of: "\(three)/adapter/\(file)") == expected, "\(file) of 3 ranks")
      #expect(
        try bytes(of: "\(resumed)/adapter/\(file)") == expected, "\(file), resumed on 2 ranks")
    }
  }

  @Test("Ranks and threads change no bit on any family", arguments: Fixtures.families)
  func families(family: String) throws {
    let bench = try Workbench()
    let options = [
      "--model", Fixtures.model(family), "--data", bench.data, "--global-batch-size", "4",
      "--max-steps", "3", "--learning-rate", "0.01", "--target-modules", "all-linear", "--r", "3",
      "--lora-dropout", Fixtures.hasExperts(family) ? "0" : "0.1", "--precision", "f32",
    ]
    var expected: [UInt8]?
    for (ranks, threads) in [(1, 2), (2, 1), (3, 1), (4, 1)] {
      let output = bench.path("\(ranks)")
      let all = options + ["--threads", "\(threads)", "--output-dir", output]
      let result = ranks == 1 ? try bench.run(all) : try bench.mpirun(ranks: ranks, all)
      try #require(result.status == 0, "\(result.errors)")
      let found = try bytes(of: output + "/adapter/adapter_model.safetensors")
      #expect(found == expected ?? found, "\(ranks) ranks")
      expected = found
    }
  }
}
