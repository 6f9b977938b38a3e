import DataParallel
import Files
import Foundation

extension Trainer {
  /// Writes the page of the run on rank 0; called by all ranks.
  func writeReport() throws {
    try run.communicator.together {
      guard let output = run.output, let history = try RunHistory(directory: output.path) else {
        return
      }
      let text = String(
        decoding: try InputFile.bytes(of: output.configurationPath), as: UTF8.self)
      let report = RunReport(history, directory: output.path, configuration: text)
      try output.write(report.html, to: output.reportPath)
    }
  }
}
