import Foundation
import JSON

/// Models of random weights in the shapes of families: `peers/family_models.py` under some Python.
///
/// Transformers makes them, so that nothing of ours says what a family is.
package struct FamilyModels: Sendable {
  private let python: String
  private let script: String

  /// - Parameters:
  ///   - python: an interpreter with the packages of `peers/requirements.txt`.
  ///   - script: `family_models.py`.
  package init(python: String, script: String) {
    self.python = python
    self.script = script
  }

  /// The families whose shapes the script has.
  package func names() throws -> [String] {
    try answer(["--list"])["families"]?.array?.compactMap(\.string) ?? []
  }

  /// Finds or makes some blocks of a family's model, and a dataset for it.
  ///
  /// - Returns: the job, its files, and whose shape it is in words.
  func make(
    _ family: String, blocks: Int, at workplace: Workplace
  ) throws -> (job: Job, files: JobFiles, text: String) {
    let name = "family-\(family)-\(blocks)"
    let model = "\(workplace.directory)/\(name)"
    let value = try answer(["--family", family, "--blocks", "\(blocks)", "--output", model])
    func size(_ key: String) throws -> Int {
      guard let size = value[key]?.int else {
        throw BenchmarkError.unreadable(what: "\(script) on \(family)", reason: "no '\(key)'")
      }
      return size
    }
    let shape = ModelShape(
      name: name, blockCount: blocks, hiddenSize: try size("hidden_size"),
      intermediateSize: try size("intermediate_size"), headCount: try size("heads"),
      keyValueHeadCount: try size("key_value_heads"), headDim: try size("head_dim"),
      vocabularySize: try size("vocabulary_size"), isTied: value["is_tied"]?.bool ?? false)
    let job = Job.family(family, shape: shape)
    return (
      job, try JobFiles(job, model: model, directory: workplace.directory),
      "\(value["shape"]?.string ?? family), \(blocks) of \(try size("of_blocks")) blocks"
    )
  }

  private func answer(_ arguments: [String]) throws -> JSONValue {
    let output = try Subprocess(command: [python, script] + arguments).run()
    // Libraries may say something first.
    let last = output.text.split(separator: "\n").last.map(String.init) ?? ""
    return try JSONValue(parsing: Data(last.utf8))
  }
}
