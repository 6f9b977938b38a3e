import Foundation
import TestSupport
import Testing

/// Pipes, devices, directories and paths in the place of files: refused by name, and at once.
@Suite("Files that are none", .serialized)
struct HostileFilesTests {
  private let bench: Workbench
  private let manager = FileManager.default

  init() throws { bench = try Workbench() }

  /// What stands where a file should; each is made at a path.
  private func makers() -> [(name: String, make: (String) throws -> Void)] {
    [
      ("pipe", { try #require(unsafe mkfifo($0, 0o600) == 0) }),
      (
        "device",
        { try manager.createSymbolicLink(atPath: $0, withDestinationPath: "/dev/zero") }
      ),
      (
        "directory",
        { try manager.createDirectory(atPath: $0, withIntermediateDirectories: false) }
      ),
      (
        "loop",
        { path in
          let name = URL(fileURLWithPath: path).lastPathComponent
          try manager.createSymbolicLink(atPath: path, withDestinationPath: name)
        }
      ),
    ]
  }

  private func check(
    _ arguments: [String], names path: String, _ what: String,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let result = try ProcessRunner.run(Workbench.program, arguments, timeoutSeconds: 60)
    #expect(!result.timedOut, "\(what): it waits", sourceLocation: location)
    #expect(result.status == 65, "\(what): \(result.errors)", sourceLocation: location)
    #expect(
      lastLine(result).contains(path) || result.errors.contains(path),
      "\(what): \(result.errors)", sourceLocation: location)
  }

  @Test("In a model directory", arguments: ["config.json", "model.safetensors"])
  func model(file: String) throws {
    for (kind, make) in makers() {
      let path = bench.path("model-\(kind)")
      try manager.copyItem(atPath: bench.model, toPath: path)
      try manager.removeItem(atPath: "\(path)/\(file)")
      try make("\(path)/\(file)")
      // A loop of links is nothing to open, so another file may be said to be missing.
      try check(
        ["evaluate", "--model", path, "--data", bench.data], names: path, "\(file) is a \(kind)")
    }
  }

  @Test("In an adapter directory", arguments: ["adapter_config.json", "adapter_model.safetensors"])
  func adapter(file: String) throws {
    for (kind, make) in makers() {
      let path = bench.path("adapter-\(kind)")
      try manager.copyItem(
        atPath: fixturePath("peft/lora-llama-all-linear/adapter"), toPath: path)
      try manager.removeItem(atPath: "\(path)/\(file)")
      try make("\(path)/\(file)")
      try check(
        ["evaluate", "--model", bench.model, "--adapter", path, "--data", bench.data],
        names: path, "\(file) is a \(kind)")
    }
  }

  @Test("As a dataset, a tokenizer, a checkpoint, and what is inspected")
  func others() throws {
    for (kind, make) in makers() {
      let path = bench.path("some-\(kind)")
      try make(path)
      for arguments in [
        ["evaluate", "--model", bench.model, "--data", path],
        ["train", "--model", bench.model, "--data", path, "--output-dir", bench.path("out")],
        [
          "train", "--model", bench.model, "--data", bench.data, "--output-dir",
          bench.path("out-\(kind)"), "--resume", path,
        ],
        ["export", path, "--output-dir", bench.path("exported")], ["inspect", path],
        ["tokenize", "--tokenizer", path],
      ] {
        if kind == "directory" && ["inspect", "tokenize"].contains(arguments[0]) { continue }
        try check(arguments, names: path, "\(arguments[0]) of a \(kind)")
      }
    }
  }

  @Test("A shard's name that leads out of the directory", arguments: ["../", "/", "sub/", "."])
  func shards(prefix: String) throws {
    let path = bench.path("sharded")
    try manager.createDirectory(atPath: path, withIntermediateDirectories: false)
    try manager.copyItem(atPath: bench.model + "/config.json", toPath: path + "/config.json")
    let name = prefix + (prefix == "." ? "." : "model.safetensors")
    try write(
      "{\"weight_map\": {\"model.norm.weight\": \"\(name)\"}}".utf8,
      to: path + "/model.safetensors.index.json")
    try manager.copyItem(
      atPath: bench.model + "/model.safetensors", toPath: bench.path("model.safetensors"))
    try check(["evaluate", "--model", path, "--data", bench.data], names: name, name)
  }
}
