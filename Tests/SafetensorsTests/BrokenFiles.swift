import Foundation
import Safetensors

/// A directory of its own for each test, removed with it.
final class Scratch {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "safetensors-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file of raw bytes and says where it is.
  func file(_ bytes: [UInt8], _ name: String = "x.safetensors") throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
    return path + "/" + name
  }

  /// Writes a file of this header and so many bytes of data.
  func file(
    header: String, dataBytes: Int, length: UInt64? = nil, name: String = "x.safetensors"
  ) throws -> String {
    let text = Array(header.utf8)
    let length = length ?? UInt64(text.count)
    let prefix = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) }
    return try file(prefix + text + [UInt8](repeating: 0, count: dataBytes), name)
  }
}

/// Where the repository's fixtures are.
func fixture(_ name: String) -> String {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/\(name)").path
}

/// The error that opening a file gives, or `nil` where it opens.
func openingError(_ path: String) -> SafetensorsError? {
  do throws(SafetensorsError) {
    _ = try SafetensorsFile(path: path)
    return nil
  } catch { return error }
}

/// The error that opening a directory gives, or `nil` where it opens.
func openingError(directory: String) -> SafetensorsError? {
  do throws(SafetensorsError) {
    _ = try WeightFiles(directory: directory)
    return nil
  } catch { return error }
}
