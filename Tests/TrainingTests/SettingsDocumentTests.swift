import Foundation
import JSON
import PEFT
import TestSupport
import Testing
import Training

/// What is committed of the table of options: `UPDATE_DOCUMENTS=1` writes it anew.
@Suite("Settings as documents")
struct SettingsDocumentTests {
  private static let root = URL(fileURLWithPath: fixturePath("")).deletingLastPathComponent()
    .deletingLastPathComponent().path

  private func expect(_ text: String, at path: String) throws {
    let path = "\(Self.root)/\(path)"
    if ProcessInfo.processInfo.environment["UPDATE_DOCUMENTS"] != nil {
      try FileManager.default.createDirectory(
        atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path,
        withIntermediateDirectories: true)
      try write(text.utf8, to: path)
    }
    let found = try String(contentsOfFile: path, encoding: .utf8)
    #expect(found == text, "\(path) is not what the tables say; UPDATE_DOCUMENTS=1 writes it")
  }

  @Test("The committed schema is the tables', and JSON")
  func schema() throws {
    try expect(RunOption.schema, at: "schema/run.schema.json")
    let schema = try JSONNode(parsing: RunOption.schema)
    let properties = try #require(schema["properties"]?.object)
    #expect(properties.members.map(\.key) == RunOption.all.map(\.key))
    #expect(properties["seed"]?["default"]?.integer == 42)
    #expect(properties["precision"]?["anyOf"]?.array?.first?["enum"]?.array?.count == 3)
  }

  @Test("There is an example of every method, and it is the tables'", arguments: PEFTMethods.names)
  func example(method: String) throws {
    let text = try #require(RunSettings.example(of: method))
    try expect(text, at: "examples/\(method).yaml")
    var settings = RunSettings()
    try settings.read(yaml: text, path: "\(method).yaml")
    #expect(try RunConfiguration(settings).method == method)
    for line in text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
  }

  @Test(
    "Every setting, printed with its help, is read back as it was", arguments: PEFTMethods.names)
  func commented(method: String) throws {
    var settings = RunSettings()
    try settings.set("method", text: method, source: .commandLine)
    try settings.set("learning_rate", text: "3e-7", source: .commandLine)
    try settings.set("output_dir", text: "a: b # c", source: .commandLine)
    try settings.set("resume", value: .bool(true), source: .commandLine)
    if PEFTMethods.fields(of: method).contains(where: { $0.key == "target_modules" }) {
      try settings.set("target_modules", text: "q_proj,v_proj", source: .commandLine)
    }
    let text = settings.commentedYAML
    var read = RunSettings()
    try read.read(yaml: text, path: "run.yaml")
    for option in RunOption.all {
      let (found, given) = (read[option.key], settings[option.key])
      // 1 and 1.0 are one number.
      #expect(
        found == given || (given?.double != nil && found?.double == given?.double), "\(option.key)")
    }
    // Everything that could be set is there, once.
    let keys = text.split(separator: "\n").compactMap { line in
      line.firstMatch(of: /^#?([a-z0-9_]+):/)?.output.1
    }.map(String.init)
    let expected =
      RunOption.all.filter { $0.group == .run }.map(\.key)
      + PEFTMethods.fields(of: method).map(\.key)
    #expect(keys.sorted() == expected.sorted())
  }

  @Test("An adapter says what the method is, not the default")
  func adapter() throws {
    var settings = RunSettings()
    try settings.set("adapter", text: "some", source: .commandLine)
    var read = RunSettings()
    try read.read(yaml: settings.commentedYAML, path: "run.yaml")
    #expect(!read.isSet("method") && read["adapter"] == "some")
  }

  @Test(
    "Errors of a YAML file have line and column",
    arguments: [
      ("seed: 1\nseed_: 2", "line 2, column 1"), ("seed:   many", "line 1, column 9"),
      ("a: [1, 2", "line 2, column 1"), ("seed: 1\n  x: 2", "line 2, column 4"),
      ("target_modules: [q_proj, {a: 1}]", "line 1, column 17"),
    ])
  func places(text: String, place: String) {
    var settings = RunSettings()
    let error = #expect(throws: ConfigurationError.self) {
      try settings.read(yaml: text, path: "run.yaml")
    }
    #expect(error?.description.contains(place) == true, "\(String(describing: error))")
    #expect(error?.description.contains("\n") == false)
  }
}
