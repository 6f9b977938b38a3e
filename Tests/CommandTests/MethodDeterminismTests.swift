import Foundation
import TestSupport
import Testing

/// What the file on ranks and threads says of LoRA, said of all methods, in both precisions.
@Suite("Every method, in f32 and in bf16", .serialized) struct MethodDeterminismTests {
  /// Options besides the method's name; sizes fit the tiny base.
  static let methods: [String: [String]] = [
    "lora": ["--r", "3", "--lora-dropout", "0.1", "--target-modules", "all-linear"],
    "dora": ["--r", "3", "--use-dora", "--target-modules", "q_proj,v_proj,down_proj"],
    // Warm-up, pruning and the final phase all happen in 12 steps, pruning on both sides of step 5.
    "adalora": [
      "--init-r", "4", "--target-r", "2", "--tinit", "2", "--tfinal", "3", "--delta-t", "2",
      "--target-modules", "all-linear",
    ],
    "ia3": [],
    "bottleneck": ["--bottleneck-size", "4"],
    "prompt-tuning": ["--num-virtual-tokens", "4"],
    "p-tuning": ["--num-virtual-tokens", "4", "--encoder-hidden-size", "8"],
    "prefix-tuning": [
      "--num-virtual-tokens", "4", "--prefix-projection", "--encoder-hidden-size", "8",
    ],
    "llama-adapter": ["--adapter-len", "4", "--adapter-layers", "2"],
    "full": [],
  ]

  @Test(
    "Ranks, and resuming in mid-schedule, change no bit", arguments: methods.keys.sorted(),
    ["f32", "bf16"])
  func sameBits(method: String, precision: String) throws {
    let bench = try Workbench()
    let options =
      [
        "--method", method == "dora" ? "lora" : method, "--precision", precision, "--threads", "1",
        "--model", bench.model, "--data", bench.data, "--global-batch-size", "5",
        "--num-epochs", "4", "--learning-rate", "0.01", "--warmup-steps", "2", "--save-steps", "5",
        "--save-total-limit", "0",
      ] + (Self.methods[method] ?? [])
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
}
