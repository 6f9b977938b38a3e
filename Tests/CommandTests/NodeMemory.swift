import Foundation
import TestSupport
import Testing

/// What all ranks of a run have in a node's memory between its steps, seen from outside.
///
/// Proportional set sizes (proc_pid_smaps(5)) of what is no program and no library: each process of the
/// machine that has these makes their share smaller, those of other tests, too.
struct NodeMemory {
  /// Bytes of mappings of the base's files.
  private(set) var files = 0
  /// Bytes of all else.
  private(set) var others = 0

  /// Bytes of both.
  var all: Int { files + others }

  /// Options of a small LoRA run.
  static func options(_ bench: Workbench, model: String, output: String) -> [String] {
    [
      "--model", model, "--data", bench.data, "--output-dir", bench.path(output), "--threads", "1",
      "--global-batch-size", "4", "--target-modules", "all-linear", "--r", "1",
    ]
  }

  /// Starts a run in f32, waits for its third step, and looks.
  init(_ bench: Workbench, model: String, ranks: Int) throws {
    let output = "run-\(UUID().uuidString)"
    let process = try ProcessRunner.startMPIRun(
      ranks: ranks, Workbench.program,
      Self.options(bench, model: model, output: output)
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
    var count = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc")
    where Int(name) != nil {
      let words = (FileManager.default.contents(atPath: "/proc/\(name)/cmdline") ?? Data())
        .split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      guard words.first == Workbench.program.path, words.contains(bench.path(output)) else {
        continue
      }
      // Such a file has no size, and is longer than what one read gives.
      let text = try FileHandle(forReadingAtPath: "/proc/\(name)/smaps")?.readToEnd() ?? Data()
      add(mappings: String(decoding: text, as: UTF8.self), base: model)
      count += 1
    }
    try #require(count == ranks)
  }

  private mutating func add(mappings text: String, base: String) {
    enum Kind { case base, code, other }
    var kind = Kind.other
    for line in text.split(separator: "\n") {
      if line.hasPrefix("Pss:") {
        let bytes = (Int(line.filter(\.isNumber)) ?? 0) << 10
        switch kind {
        case .base: files += bytes
        case .other: others += bytes
        case .code: break
        }
      } else if line.prefix(while: \.isHexDigit).count >= 8 {
        // start-end permissions offset device number path
        let isCode = line.contains(".so") || line.hasSuffix(Workbench.program.path)
        kind = line.contains(base) ? .base : isCode ? .code : .other
      }
    }
  }
}
