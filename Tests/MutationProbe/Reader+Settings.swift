import Foundation
import JSON
import PEFT
import Training

extension Reader {
  /// Reads settings, checks them, and makes the method that they ask for.
  static func readSettings(_ path: String) throws {
    let settings = try RunSettings(yamlFile: path)
    _ = settings.commentedYAML
    _ = RunSettings.yaml(settings.entries.mapValues(\.value))
    try check(settings)
  }

  private static func check(_ settings: RunSettings) throws {
    let source = try AdapterSource(try RunConfiguration(settings))
    _ = try PEFTMethods.make(
      source.methodName, options: MethodOptions(source.fields, source: source.description))
  }

  /// Reads what is to be compared, and checks it method by method.
  static func readComparison(_ path: String) throws {
    var settings = ComparisonSettings()
    try settings.read(yamlFile: path)
    try settings.check()
    for method in settings.methods {
      try check(try settings.settings(for: method, learningRate: 1e-3))
    }
  }

  /// Reads what a run left, and makes its report.
  static func readRun(_ directory: String) throws {
    if let history = try RunHistory(directory: directory) {
      let report = RunReport(history, directory: directory, configuration: "seed: 1\n")
      _ = report.html
      _ = report.plainText
    }
    _ = try AdapterOrigin(directory: directory)
    let path = directory + "/compare.json"
    guard FileManager.default.fileExists(atPath: path) else { return }
    let value = try JSONValue(parsing: try Data(contentsOf: URL(fileURLWithPath: path)))
    var comparison = Comparison(model: "model", data: "data.h5")
    comparison.methods = (value["methods"]?.array ?? []).compactMap { MethodFigures($0) }
    let report = ComparisonReport(comparison)
    _ = (comparison.value.text(), report.table.csv, report.html)
  }
}
