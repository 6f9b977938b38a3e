import Foundation
import JSON
import TestSupport
import Testing

/// The program of `examples/library`, which trains with the targets of this package.
@Suite("Library", .serialized)
struct LibraryTests {
  private let bench: Workbench
  private let model: String
  private static let program = ProcessRunner.built("train-from-code")

  init() throws {
    bench = try Workbench()
    model = bench.path("model")
    try FileManager.default.copyItem(atPath: bench.model, toPath: model)
    try Workbench.writeTokenizerOfLetters(to: model + "/tokenizer.json")
    try write(#"{"eos_token": "</s>"}"#.utf8, to: model + "/tokenizer_config.json")
    let rows = (0..<60).map { row in
      let word = (0..<(2 + row % 5)).map { "abcdefghijk"[(row + $0 * (1 + row / 11)) % 11] }
      return #"{"prompt": "\#(word.joined())", "completion": " \#(word.reversed().joined())"}"#
    }
    try write(rows.joined(separator: "\n").utf8, to: bench.path("rows.jsonl"))
  }

  @Test("A program of another package trains an adapter, on two ranks the same; evaluate reads it")
  func trains() throws {
    var adapters: [Data] = []
    for ranks in [1, 2] {
      let output = bench.path("out\(ranks)")
      let arguments = [model, bench.path("rows.jsonl"), output]
      let result =
        ranks == 1
        ? try ProcessRunner.run(Self.program, arguments)
        : try ProcessRunner.mpirun(ranks: ranks, Self.program, arguments)
      try #require(result.status == 0, "\(result.errors)")
      #expect(result.output.contains("rows taken for"), "what rows were taken for")
      let said = try #require(
        result.outputLines.last { $0.hasPrefix(output + "/adapter: evaluation loss ") })
      let loss = try #require(said.split(separator: " ").last.flatMap { Double($0) })

      let found = try bench.run([
        "evaluate", "--model", model, "--adapter", output + "/adapter", "--data", output + ".h5",
        "--json",
      ])
      try #require(found.status == 0, "\(found.errors)")
      let figures = try JSONValue(parsing: Data(found.output.utf8))
      #expect(abs((figures["loss"]?.double ?? 0) - loss) < 1e-6 * loss)
      adapters.append(
        Data(try bytes(of: output + "/adapter/adapter_model.safetensors")))
    }
    #expect(adapters[0] == adapters[1])
  }

  @Test("What is wrong is said in a line, once, also on two ranks")
  func wrongModel() throws {
    for ranks in [1, 2] {
      let arguments = [bench.path("nowhere"), bench.path("rows.jsonl"), bench.path("out")]
      let result =
        ranks == 1
        ? try ProcessRunner.run(Self.program, arguments)
        : try ProcessRunner.mpirun(ranks: ranks, Self.program, arguments)
      #expect(result.status == 1)
      let lines = result.errors.split(separator: "\n").filter { $0.contains("nowhere") }
      #expect(lines.count == 1, "\(result.errors)")
    }
  }

  @Test("README and documentation show the program as it is compiled")
  func isShown() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    func text(_ path: String) throws -> String {
      try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }
    let program = try text("examples/library/Sources/train-from-code/main.swift")
    #expect(program.split(separator: "\n").count <= 42)
    let page = try text("Sources/Training/Training.docc/TrainFromCode.md")
    #expect(page.contains("```swift\n\(program)```"))
    let package = try text("examples/library/Package.swift")
    #expect(page.contains("```swift\n\(package)```"))
  }
}

extension String {
  fileprivate subscript(_ index: Int) -> String {
    String(self[self.index(startIndex, offsetBy: index)])
  }
}
