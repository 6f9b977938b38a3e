import Checkpointing
import Files
import Foundation
import JSON
import Model
import PEFT
import Safetensors
import Tensors

/// An adapter in its ecosystem's format: `adapter_config.json`, a weight file, `README.md`.
///
/// It knows files; what the fields and tensors mean is the method's business.
public struct AdapterDirectory: Sendable {
  /// The directory.
  public let path: String

  /// Names a directory.
  public init(path: String) { self.path = path }

  /// The configuration file.
  public var configurationPath: String { path + "/adapter_config.json" }

  /// The method's configuration.
  ///
  /// - Throws: `PEFTError.unreadableFile`.
  public func configuration() throws(PEFTError) -> JSONValue {
    try AdapterDirectory.readConfiguration(configurationPath)
  }

  /// Reads an `adapter_config.json` of any name.
  ///
  /// - Throws: `PEFTError.unreadableFile` where it is missing or no JSON object.
  public static func readConfiguration(_ path: String) throws(PEFTError) -> JSONValue {
    let data: Data
    do throws(FileError) { data = Data(try InputFile.bytes(of: path)) } catch {
      throw .unreadableFile(path: path, reason: error.reason)
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: data) } catch {
      throw .unreadableFile(path: path, reason: "it is not JSON: \(error)")
    }
    guard value.object != nil else {
      throw .unreadableFile(path: path, reason: "its top level is no JSON object")
    }
    return value
  }

  /// The weight file: PEFT's name, or AdapterHub's.
  ///
  /// - Throws: `PEFTError.unreadableFile` where there is neither.
  public func weightsPath() throws(PEFTError) -> String {
    let manager = FileManager.default
    let names = ["adapter_model.safetensors", "adapter.safetensors"]
    for name in names where manager.fileExists(atPath: "\(path)/\(name)") {
      return "\(path)/\(name)"
    }
    let pickled = manager.fileExists(atPath: path + "/adapter_model.bin")
    throw .unreadableFile(
      path: "\(path)/\(names[0])",
      reason: pickled
        ? "there is only adapter_model.bin, a pickle, which may run code; save it again as safetensors"
        : "no such file")
  }

  /// Every tensor of the weight file, in f32; a file that carries a digest is compared with it.
  ///
  /// - Throws: `PEFTError` or `SafetensorsError`, naming file and tensor.
  public func tensors() throws -> [NamedTensor] {
    let file = try SafetensorsFile(path: weightsPath())
    try file.checkSeal()
    return try file.tensors.map { tensor in
      if let index = try tensor.firstNonFinite() {
        throw PEFTError.unreadableFile(
          path: file.path, reason: "tensor '\(tensor.name)' is not finite at element \(index)")
      }
      return NamedTensor(name: tensor.name, shape: tensor.shape, values: try tensor.floats())
    }
  }

  /// Writes an adapter's files into the directory, which must be there.
  ///
  /// The weight file carries a digest of itself, which other programs do not look at.
  ///
  /// - Parameters:
  ///   - export: configuration and tensors.
  ///   - base: the name or path that the adapter names as its base.
  ///   - origin: what it was trained on, where that is known.
  ///   - training: how, for its model card.
  /// - Throws: `SafetensorsError` or `FileError`.
  public func write(
    _ export: AdapterExport, base: String, origin: AdapterOrigin? = nil,
    training: AdapterTraining? = nil
  ) throws {
    let entries = export.tensors.map {
      SafetensorsWriter.Entry($0.name, .float32, shape: $0.shape)
    }
    var writer = try SafetensorsWriter(
      path: "\(path)/\(export.weightFileName)", tensors: entries, isSealed: true)
    for tensor in export.tensors where tensor.count > 0 {
      let values = tensor.values
      try writer.write(tensor.name) { start, target in
        target.assign(values[start..<(start + target.columns)])
      }
    }
    try writer.finish()
    try write(export.configuration.text(indentation: 2), to: "adapter_config.json")
    try write(ModelCard(export: export, base: base, training: training).text, to: "README.md")
    try origin?.write(to: path)
  }

  private func write(_ text: String, to name: String) throws(FileError) {
    try PendingFile.write(text, to: "\(path)/\(name)")
  }

  /// Writes an adapter as llama.cpp loads it: `adapter.gguf` in a new directory.
  ///
  /// - Parameters:
  ///   - path: a checkpoint, or an adapter directory.
  ///   - model: the base, for its architecture and heads; where nil what the adapter names.
  ///   - directory: the new directory.
  /// - Throws: `FileError` before anything is read where the place cannot be written, what is wrong with
  ///   the adapter or its base, `PEFTError.cannotExport` with what the format cannot say.
  public static func exportGGUF(_ path: String, model: String?, to directory: String) throws {
    let pending = try PendingDirectory(OutputPlace(directory: directory))
    let export: AdapterExport
    if FileManager.default.fileExists(atPath: path + "/adapter_config.json") {
      let source = AdapterDirectory(path: path)
      export = AdapterExport(
        configuration: try source.configuration(), tensors: try source.tensors())
    } else {
      export = try checkpointExport(try StoredCheckpoint(path: path))
    }
    let named = export.configuration["base_model_name_or_path"]?.string
    guard let base = model ?? named else {
      throw PEFTError.unreadableFile(
        path: path, reason: "it does not name its base; give that with --model")
    }
    try GGUFAdapter.write(
      export, to: pending.partialPath + "/adapter.gguf",
      base: try DecoderConfiguration(directory: base))
    try pending.publish()
  }

  private static func checkpointExport(_ checkpoint: StoredCheckpoint) throws -> AdapterExport {
    guard let configuration = checkpoint.adapterConfiguration else {
      throw TrainingError.noAdapter(
        path: checkpoint.reader.path, method: checkpoint.reader.metadata.method)
    }
    return try PEFTMethods.export(
      try checkpoint.tensors(), configuration: configuration, notes: checkpoint.exportNotes)
  }

  /// Writes a checkpoint's adapter as a directory; the base is not needed.
  ///
  /// - Throws: `FileError` before anything is read where the place cannot be written,
  ///   `CheckpointError`, `TrainingError`.
  public static func export(checkpoint path: String, to directory: String) throws {
    let pending = try PendingDirectory(OutputPlace(directory: directory))
    let checkpoint = try StoredCheckpoint(path: path)
    let export = try checkpointExport(checkpoint)
    try AdapterDirectory(path: pending.partialPath).write(
      export, base: export.configuration["base_model_name_or_path"]?.string ?? "base",
      origin: AdapterOrigin(checkpoint), training: AdapterTraining(checkpoint))
    try pending.publish()
  }
}
