import Diagnostics
import Files
import Foundation
import Testing
import Training

@Suite("Output directory") struct OutputDirectoryTests {
  private let path =
    FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path

  @Test("A second run is kept out while the first writes")
  func lock() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let first = try OutputDirectory(path: path, mayContinue: false)
    let error = try #require(throws: TrainingError.self) {
      try OutputDirectory(path: path, mayContinue: true)
    }
    guard case .outputLocked = error else {
      Issue.record("\(error)")
      return
    }
    withExtendedLifetime(first) {}
  }

  @Test("Another run's files are not overwritten, but may be gone on with")
  func inUse() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    do {
      let output = try OutputDirectory(path: path, mayContinue: false)
      try output.write("{}\n", to: output.metricsPath)
    }
    let error = try #require(throws: TrainingError.self) {
      try OutputDirectory(path: path, mayContinue: false)
    }
    #expect(error.errorClass == .output)
    #expect(error.description.contains("--resume"))
    _ = try OutputDirectory(path: path, mayContinue: true)
  }

  @Test("A file that stands where a directory shall be is left alone")
  func fileInTheWay() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    try "precious".write(toFile: path, atomically: true, encoding: .utf8)
    for replacing in [false, true] {
      let error = try #require(throws: FileError.self) {
        try publishDirectory(path, replacing: replacing) { _ in }
      }
      #expect(error.errorClass == .output)
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
  }

  @Test("A directory is published whole or not at all")
  func publishing() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    struct Failed: Error {}
    #expect(throws: Failed.self) {
      try publishDirectory(path, replacing: false) { temporary in
        try Data().write(to: URL(fileURLWithPath: temporary + "/half"))
        throw Failed()
      }
    }
    #expect(!FileManager.default.fileExists(atPath: path))
    let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
    let name = URL(fileURLWithPath: path).lastPathComponent
    #expect(
      try !FileManager.default.contentsOfDirectory(atPath: parent).contains {
        $0.contains(name)
      })

    for content in ["one", "two"] {
      try publishDirectory(path, replacing: true) { temporary in
        try Data(content.utf8).write(to: URL(fileURLWithPath: temporary + "/file"))
      }
      #expect(try String(contentsOfFile: path + "/file", encoding: .utf8) == content)
    }
    #expect(throws: FileError.self) { try publishDirectory(path, replacing: false) { _ in } }
  }
}
