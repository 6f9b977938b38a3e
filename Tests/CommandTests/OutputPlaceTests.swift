import Foundation
import JSON
import TestSupport
import Testing

/// The rule for places of outputs, by the program itself.
@Suite("Places of outputs", .serialized)
struct OutputPlaceTests {
  private let bench: Workbench
  private let manager = FileManager.default

  init() throws { bench = try Workbench() }

  private func train(_ output: String, _ more: String...) throws -> ProcessResult {
    try bench.run(
      [
        "--model", bench.model, "--data", bench.data, "--output-dir", output, "--r", "2",
        "--threads", "1", "--max-steps", "1",
      ] + more)
  }

  private func names(_ path: String) throws -> [String] {
    try manager.contentsOfDirectory(atPath: path).sorted()
  }

  private func link(_ name: String, to target: String) throws {
    try manager.createSymbolicLink(atPath: bench.path(name), withDestinationPath: target)
  }

  private func isLink(_ name: String) -> Bool {
    (try? manager.destinationOfSymbolicLink(atPath: bench.path(name))) != nil
  }

  private func isPartialFree() throws -> Bool {
    try manager.subpathsOfDirectory(atPath: bench.directory.path)
      .allSatisfy { !$0.contains(".partial-") }
  }

  /// The commands that make a directory out of a finished run in `run`.
  private func makers(_ output: String) -> [[String]] {
    [
      ["export", bench.path("run/checkpoints/step-00000001.h5"), "--output-dir", output],
      [
        "merge", "--model", bench.model, "--adapter", bench.path("run/adapter"), "--output-dir",
        output,
      ],
    ]
  }

  @Test("A slash at the end is fine, and a link to a directory stays one")
  func slashesAndLinks() throws {
    try #require(try train(bench.path("run") + "/").status == 0)
    try manager.createDirectory(
      atPath: bench.path("real/train"), withIntermediateDirectories: true)
    try link("train-link", to: "real/train")
    let trained = try train(bench.path("train-link") + "/")
    #expect(trained.status == 0 && isLink("train-link"), "\(trained.errors)")
    #expect(!trained.errors.contains("//"))
    #expect(try names(bench.path("real/train")).contains("adapter"))
    for (index, slash) in ["", "/", "//"].enumerated() {
      for (maker, arguments) in makers(bench.path("plain\(index)") + slash).enumerated() {
        let result = try bench.run(arguments)
        #expect(result.status == 0, "\(result.errors)")
        #expect(try names(bench.path("plain\(index)")).contains("README.md") == (maker == 0))
        try manager.removeItem(atPath: bench.path("plain\(index)"))
      }
    }
    for (index, _) in makers("").enumerated() {
      try manager.createDirectory(
        atPath: bench.path("real/\(index)"), withIntermediateDirectories: true)
      try link("link\(index)", to: "real/\(index)")
      let result = try bench.run(makers(bench.path("link\(index)") + "/")[index])
      #expect(result.status == 0 && isLink("link\(index)"), "\(result.errors)")
      #expect(try !names(bench.path("real/\(index)")).isEmpty)
    }
    #expect(try isPartialFree())
  }

  @Test("What lies inside an output directory must not be a link")
  func linksInside() throws {
    try write([], to: bench.path("outside"))
    for name in ["checkpoints", "adapter", ".lock", "metrics.jsonl", "config.yaml"] {
      let output = bench.path("out-\(name)")
      try manager.createDirectory(atPath: output, withIntermediateDirectories: true)
      try link("out-\(name)/\(name)", to: "../outside")
      let result = try train(output, "--resume")
      #expect(result.status == 73, "\(name): \(result.errors)")
      #expect(lastLine(result).contains("\(output)/\(name) is a symbolic link"))
      #expect(try bytes(of: bench.path("outside")) == [])
    }
    let output = bench.path("compared")
    try manager.createDirectory(atPath: output, withIntermediateDirectories: true)
    try link("compared/lora", to: "../outside")
    let result = try bench.run([
      "compare", "--methods", "lora", "--model", bench.model, "--data", bench.data,
      "--output-dir", output, "--max-steps", "1",
    ])
    #expect(result.status == 73, "\(result.errors)")
    #expect(lastLine(result).contains("\(output)/lora is a symbolic link"))
  }

  @Test("A place that cannot be written is said so before anything is read or computed")
  func checkedFirst() throws {
    try write([1], to: bench.path("file"))
    try manager.createDirectory(atPath: bench.path("full"), withIntermediateDirectories: true)
    try write([1], to: bench.path("full/precious"))
    try link("dangling", to: "nowhere")
    for output in [
      "/proc/none/out", bench.path("file"), bench.path("full"), bench.path("dangling"),
    ] {
      // Neither the checkpoint nor the model is there: what is said is about the output.
      for arguments in [
        ["export", bench.path("none.h5"), "--output-dir", output],
        [
          "merge", "--model", bench.path("none"), "--adapter", bench.path("none"),
          "--output-dir", output,
        ],
      ] {
        let result = try bench.run(arguments)
        #expect(result.status == 73, "\(result.errors)")
        #expect(lastLine(result).contains(output), "\(result.errors)")
      }
    }
    #expect(try names(bench.path("full")) == ["precious"])
    #expect(try isPartialFree())
  }

  @Test("Files have the permissions that the umask leaves")
  func permissions() throws {
    let script = """
      umask 002
      exec \(Workbench.program.path) --model \(bench.model) --data \(bench.data) --r 2 \
      --threads 1 --max-steps 1 --output-dir \(bench.path("run"))
      """
    let result = try ProcessRunner.run(URL(fileURLWithPath: "/bin/sh"), ["-c", script])
    try #require(result.status == 0, "\(result.errors)")
    for name in try manager.subpathsOfDirectory(atPath: bench.path("run")) {
      let attributes = try manager.attributesOfItem(atPath: bench.path("run/\(name)"))
      let mode = try #require(attributes[.posixPermissions] as? Int)
      let isDirectory = attributes[.type] as? FileAttributeType == .typeDirectory
      #expect(mode == (isDirectory ? 0o775 : 0o664), "\(name): \(String(mode, radix: 8))")
    }
  }

  @Test("Of two jobs that make one directory at once, one wins, whole; nothing is mixed")
  func twoAtOnce() throws {
    try #require(try train(bench.path("run")).status == 0)
    // Another adapter of another size, so that a mixture would show.
    try #require(try train(bench.path("other"), "--use-rslora").status == 0)
    for round in 0..<4 {
      let output = bench.path("made\(round)")
      let started = try ["run", "other"].map { run in
        try ProcessRunner.start(
          Workbench.program,
          ["export", bench.path("\(run)/checkpoints/step-00000001.h5"), "--output-dir", output])
      }
      let statuses = try started.map { try $0.wait(timeoutSeconds: 60).status }
      #expect(statuses.sorted() == [0, 73], "\(statuses)")
      let winner = statuses[0] == 0 ? "run" : "other"
      for name in try names(output) where name != "README.md" {
        #expect(
          try bytes(of: "\(output)/\(name)") == bytes(of: bench.path("\(winner)/adapter/\(name)")),
          "\(name)")
      }
    }
    #expect(try isPartialFree())
  }

  @Test("A flipped bit anywhere in an adapter's tensors is found")
  func adapterDigest() throws {
    try #require(try train(bench.path("run")).status == 0)
    let path = bench.path("run/adapter/adapter_model.safetensors")
    let whole = try bytes(of: path)
    let headerEnd = 8 + whole[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    // Places in header and data; the program reads each file anew.
    for place in [75, headerEnd - 1, headerEnd, headerEnd + 5, whole.count / 2, whole.count - 1] {
      var damaged = whole
      damaged[place] ^= 1 << UInt8(place % 8)
      try write(damaged, to: path)
      let result = try bench.run([
        "evaluate", "--model", bench.model, "--adapter", bench.path("run/adapter"), "--data",
        bench.data,
      ])
      #expect(result.status == 65, "\(place): \(result.errors)")
      #expect(lastLine(result).contains(path), "\(place): \(result.errors)")
      #expect(try bench.run(["inspect", path]).status == 65)
    }
  }

  @Test("A loss that is no number is null in JSON, and the status says that the run failed")
  func nonFiniteLoss() throws {
    let adapter = bench.path("adapter")
    try manager.copyItem(
      atPath: fixturePath("peft/lora-llama-all-linear/adapter"), toPath: adapter)
    // PEFT's file has no digest, so its numbers may be made as large as they get.
    let path = adapter + "/adapter_model.safetensors"
    var content = try bytes(of: path)
    let start = 8 + content[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let large: [UInt8] = [0xff, 0xff, 0x7f, 0x7f]
    for place in stride(from: start, to: content.count, by: 4) {
      content.replaceSubrange(place..<(place + 4), with: large)
    }
    try write(content, to: path)
    let result = try bench.run([
      "evaluate", "--json", "--model", bench.model, "--adapter", adapter, "--data", bench.data,
    ])
    #expect(result.status == 1, "\(result.errors)")
    #expect(lastLine(result).contains("The first examples with such a loss are 0 to 4 of"))
    let value = try JSONValue(parsing: Data(result.output.utf8))
    #expect(value["loss"]?.isNull == true && value["perplexity"]?.isNull == true)
    #expect((value["tokens"]?.int ?? 0) > 0)
  }
}
