import Files
import Foundation
import JSON

/// What an adapter was trained on: `origin.json` beside its weights.
///
/// PEFT's files have no room for it, and other programs do not look at it. `inspect --verify` compares it
/// with the base and the dataset as they are now.
public struct AdapterOrigin: Sendable, Hashable {
  /// The base's fingerprint, over all of its bytes.
  public let baseFingerprint: String
  /// The dataset's fingerprint.
  public let datasetFingerprint: String
  /// Where the dataset was.
  public let data: String?
  /// Optimiser steps that made it.
  public let step: Int

  private static let name = "origin.json"

  /// States it.
  public init(baseFingerprint: String, datasetFingerprint: String, data: String?, step: Int) {
    self.baseFingerprint = baseFingerprint
    self.datasetFingerprint = datasetFingerprint
    self.data = data
    self.step = step
  }

  /// What a checkpoint states.
  public init(_ checkpoint: StoredCheckpoint) {
    let metadata = checkpoint.reader.metadata
    self.init(
      baseFingerprint: metadata.baseFingerprint, datasetFingerprint: metadata.datasetFingerprint,
      data: checkpoint.configuration["data"]?.string, step: metadata.step)
  }

  /// Reads that of an adapter directory.
  ///
  /// - Returns: nil where there is none, as in adapters of other programs.
  /// - Throws: `FileError` or the error of JSON that is none.
  public init?(directory: String) throws {
    let path = "\(directory)/\(Self.name)"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let value = try JSONValue(parsing: Data(try InputFile.bytes(of: path)))
    guard let base = value["base_fingerprint"]?.string,
      let dataset = value["dataset_fingerprint"]?.string
    else { return nil }
    self.init(
      baseFingerprint: base, datasetFingerprint: dataset, data: value["data"]?.string,
      step: value["step"]?.int ?? 0)
  }

  /// Writes it into an adapter directory.
  ///
  /// - Throws: `FileError`.
  func write(to directory: String) throws(FileError) {
    let value: JSONValue = [
      "base_fingerprint": .string(baseFingerprint),
      "dataset_fingerprint": .string(datasetFingerprint), "data": data.map { .string($0) } ?? .null,
      "step": .int(step), "program": .string("swift-peft-train \(ProgramVersion.text)"),
    ]
    try PendingFile.write(value.text(indentation: 2), to: "\(directory)/\(Self.name)")
  }
}
