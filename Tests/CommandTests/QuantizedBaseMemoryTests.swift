import Foundation
import TestSupport
import Testing

/// What lies packed in a file stays so: the ranks of a node have the file once, and nothing beside it.
@Suite("A quantised base is in a node's memory once, as its file has it", .serialized)
struct QuantizedBaseMemoryTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// Bytes of memory by what they show: the base's files, and all else but code.
  private struct Share {
    var files = 0
    var others = 0
  }

  @Test("Of a GGUF file, 1, 2 and 4 ranks together have at most 1.02 of it, and no copy")
  func gguf() throws {
    let llama = try LargeModel("llama", at: bench.path("llama"))
    // An adapter, for a model in GGUF is what comes of one.
    let trained = try bench.run(
      options(llama.path, "adapter") + ["--max-steps", "1", "--precision", "f32"])
    try #require(trained.status == 0, "\(trained.errors)")
    let directory = bench.path("gguf")
    let merged = try bench.run([
      "merge", "--model", llama.path, "--adapter", bench.path("adapter/adapter"), "--output-dir",
      directory, "--to", "gguf", "--dtype", "q8_0",
    ])
    try #require(merged.status == 0, "\(merged.errors)")
    let path = directory + "/model.gguf"
    let size = try #require(
      FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    let (one, plain) = (try share(of: path, ranks: 1), try share(of: llama.path, ranks: 1))
    // Widened, it would be there a second time: four times as large, in what is no file.
    #expect(
      one.others < plain.others + size / 4,
      "\(one.others) bytes beside a quantised base, \(plain.others) beside one in f32")
    for ranks in [1, 2, 4] {
      let files = ranks == 1 ? one.files : try share(of: path, ranks: ranks).files
      #expect(
        100 * files <= 102 * size && 10 * files >= 9 * size,
        "\(ranks) ranks have \(files) bytes of a file of \(size)")
    }
  }

  private func options(_ model: String, _ output: String) -> [String] {
    [
      "--model", model, "--data", bench.data, "--output-dir", bench.path(output), "--threads", "1",
      "--global-batch-size", "4", "--target-modules", "all-linear", "--r", "1",
    ]
  }

  /// Proportional set size (proc_pid_smaps(5)) of all ranks of a run between its steps.
  private func share(of model: String, ranks: Int) throws -> Share {
    let output = "run-\(UUID().uuidString)"
    let process = try ProcessRunner.startMPIRun(
      ranks: ranks, Workbench.program,
      options(model, output)
        + [
          "--precision", "f32", "--max-steps", "100000", "--num-epochs", "100000",
          "--logging-steps", "1",
        ])
    defer {
      process.send(signal: SIGTERM)
      _ = process.waitUntil { $0.hasEnded }
    }
    let isUnderWay = process.waitUntil(timeoutSeconds: 120) { _ in
      ((try? bench.metrics(bench.path(output))) ?? []).contains { ($0["step"]?.int ?? 0) >= 3 }
    }
    try #require(isUnderWay, "\(process.errorsSoFar)")
    var (sum, count) = (Share(), 0)
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc")
    where Int(name) != nil {
      let words = (FileManager.default.contents(atPath: "/proc/\(name)/cmdline") ?? Data())
        .split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      guard words.first == Workbench.program.path, words.contains(bench.path(output)) else {
        continue
      }
      let text = try FileHandle(forReadingAtPath: "/proc/\(name)/smaps")?.readToEnd() ?? Data()
      add(mappings: String(decoding: text, as: UTF8.self), of: model, to: &sum)
      count += 1
    }
    try #require(count == ranks)
    return sum
  }

  private func add(mappings text: String, of model: String, to share: inout Share) {
    enum Kind { case base, code, other }
    var kind = Kind.other
    for line in text.split(separator: "\n") {
      if line.hasPrefix("Pss:") {
        let bytes = (Int(line.filter(\.isNumber)) ?? 0) << 10
        switch kind {
        case .base: share.files += bytes
        case .other: share.others += bytes
        case .code: break
        }
      } else if line.prefix(while: \.isHexDigit).count >= 8 {
        // start-end permissions offset device number path
        kind =
          line.contains(model)
          ? .base
          : line.contains(".so") || line.hasSuffix(Workbench.program.path) ? .code : .other
      }
    }
  }
}
