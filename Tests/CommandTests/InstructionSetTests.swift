import DataParallel
import Diagnostics
import Foundation
import Kernels
import TestSupport
import Testing
import Training

@Suite("Instruction sets", .serialized) struct InstructionSetTests {
  /// A few steps of a method on the demo's base.
  private func options(_ method: MethodCase, output: String, bench: Workbench) -> [String] {
    let demo = DemoDatasetTests.directory
    return [
      "--model", demo.path, "--data", demo.appendingPathComponent("demo.h5").path,
      "--precision", "f32", "--threads", "1",
      "--global-batch-size", "4", "--max-steps", "3", "--learning-rate", "0.01",
      "--output-dir", output,
    ] + method.arguments
      // Prune within the three steps.
      + (method.name == "adalora" ? ["--tinit", "0", "--tfinal", "1", "--delta-t", "1"] : [])
  }

  private func adapter(_ output: String) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for file in try FileManager.default.contentsOfDirectory(atPath: output + "/adapter") {
      files[file] = try bytes(of: "\(output)/adapter/\(file)")
    }
    return files
  }

  @Test(
    "Every set trains the same adapter, byte for byte",
    .enabled(if: InstructionSet.best != .scalar),
    arguments: MethodCase.all)
  func sameAdapter(method: MethodCase) throws {
    let bench = try Workbench()
    var expected: [String: [UInt8]] = [:]
    for set in [InstructionSet.scalar] + InstructionSet.available.filter({ $0 != .scalar }) {
      let output = bench.path(set.rawValue)
      let result = try bench.run(
        options(method, output: output, bench: bench) + ["--instruction-set", set.rawValue])
      try #require(result.status == 0, "\(result.errors)")
      let files = try adapter(output)
      if set == .scalar { expected = files }
      #expect(files == expected, "\(set)")
    }
    #expect(expected.keys.contains { $0.hasSuffix(".safetensors") })
  }

  @Test(
    "A job of unlike ranks trains the same adapter, and says so",
    .enabled(if: InstructionSet.best != .scalar), arguments: ["lora", "p-tuning-lstm", "adalora"])
  func mixedRanks(name: String) throws {
    try Workbench.requireSeveralPrograms()
    let method = try #require(MethodCase.all.first { $0.name == name })
    let bench = try Workbench()
    let (alone, mixed) = (bench.path("alone"), bench.path("mixed"))
    let first = try bench.run(options(method, output: alone, bench: bench))
    try #require(first.status == 0, "\(first.errors)")
    let shared = options(method, output: mixed, bench: bench)
    let best = InstructionSet.best.rawValue
    let second = try bench.mpirun(
      ranks: 1,
      shared + ["--instruction-set", best, ":", "-n", "1", Workbench.program.path] + shared
        + ["--instruction-set", "scalar"])
    try #require(second.status == 0, "\(second.errors)")
    #expect(second.errors.contains("kernels: \(best) on rank 0; scalar on rank 1"))
    #expect(try adapter(mixed) == adapter(alone))
  }

  @Test("A set that the processor lacks is an error that names those it has")
  func missing() throws {
    let bench = try Workbench()
    let lacking = try #require(
      InstructionSet.allCases.first { !InstructionSet.available.contains($0) })
    let model = ["--model", bench.model]
    let output = ["--output-dir", bench.path("out")]
    for command in [
      ["train", "--data", bench.data] + output + model,
      ["evaluate", "--data", bench.data] + model,
      ["generate", "--prompt", "x"] + model,
    ] {
      let result = try bench.run(command + ["--instruction-set", lacking.rawValue])
      #expect(result.status == 64, "\(command[0]): \(result.errors)")
      #expect(result.errors.contains("no \(lacking.rawValue) instructions"), "\(command[0])")
      #expect(result.errors.contains("scalar"), "\(command[0])")
    }
    let unknown = try bench.run(["train", "--instruction-set", "sse"] + output + model)
    #expect(unknown.status == 64)
    #expect(unknown.errors.contains("scalar, avx2, avx512, neon"), "\(unknown.errors)")
  }

  @Test("Ranks that multiply bf16 by several definitions are told who does what")
  func bfloat16Definitions() {
    let error = UnlikeBFloat16Products(
      definitions: ["packed avx512_bf16", "emulation", "packed avx512_bf16"])
    #expect(error.description.contains("packed avx512_bf16 on ranks 0, 2; emulation on rank 1"))
    #expect(error.errorClass == .usage)
  }
}
