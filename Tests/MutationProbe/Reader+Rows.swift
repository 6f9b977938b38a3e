import Foundation
import Preparation

extension Reader {
  /// Makes a dataset of rows, whatever of them can be used.
  static func prepare(_ path: String, in folder: String) throws {
    var options = PreparationOptions()
    options.inputs = [path]
    options.output = folder + "/data.h5"
    options.skipsBrokenRows = true
    options.maxLength = 16
    options.excess = .split
    options.removesDuplicates = true
    options.validationShare = 0.2
    options.showCount = 2
    if ["csv", "tsv"].contains(where: path.contains) {
      options.columns = try ColumnMapping(["prompt=question,completion=answer"])
    }
    let text = try ModelText(directory: folder + "/original")
    let report = try Preparation(text, options).run(said: { _ = $0.description })
    _ = report.text
  }

  /// Reads a file as each of the formats, and makes a dataset of what it looks like.
  static func importTokens(_ path: String, in folder: String) throws {
    var works = ImportFormat.allCases.map { format in
      { () throws -> Void in
        // Only one of them can be read; the others are refused.
        _ = try? format.survey(path)
      }
    }
    works.append {
      var options = PreparationOptions()
      options.inputs = [path]
      options.output = folder + "/data.h5"
      options.maxLength = 8
      options.excess = .split
      options.skipsBrokenRows = true
      options.importFormat = ImportFormat(recognizing: path) ?? .llmc
      let text = try ModelText(directory: folder + "/original")
      _ = try Preparation(text, options).run().text
    }
    for work in works { try work() }
  }
}
