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
  /// - Throws: `SafetensorsError` or `FileError`.
  public func write(_ export: AdapterExport, base: String, origin: AdapterOrigin? = nil) throws {
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
    try write(AdapterDirectory.readme(export, base: base), to: "README.md")
    try origin?.write(to: path)
  }

  private func write(_ text: String, to name: String) throws(FileError) {
    try PendingFile.write(text, to: "\(path)/\(name)")
  }

  private static func readme(_ export: AdapterExport, base: String) -> String {
    let peftType = export.configuration["peft_type"]?.string
    let type = peftType ?? "bottleneck"
    let count = export.tensors.reduce(0) { $0 + $1.count }
    let notes = export.notes.map { "- \($0)\n" }.joined()
    return """
      ---
      base_model: \(base)
      library_name: \(peftType == nil ? "adapter-transformers" : "peft")
      tags:
      - \(type.lowercased())
      ---

      # Adapter (\(type))

      \(grouped(count)) parameters in \(export.tensors.count) tensors, trained with swift-peft-train
      \(ProgramVersion.text) on the base `\(base)`.

      \(use(export, base: base))
      \(notes.isEmpty ? "" : "\n" + notes)
      """
  }

  /// How the adapter is used: in its own library, or where that has no such adapter, with this
  /// program.
  private static func use(_ export: AdapterExport, base: String) -> String {
    if !export.notes.isEmpty {
      return """
            swift-peft-train generate --model \(base) --adapter adapter --prompt …
        """
    }
    if export.configuration["peft_type"] == nil {
      return """
            import adapters
            from transformers import AutoModelForCausalLM

            model = AutoModelForCausalLM.from_pretrained("\(base)")
            adapters.init(model)
            name = model.load_adapter("adapter", use_safetensors=True)
            model.set_active_adapters(name)
        """
    }
    return """
          from peft import PeftModel
          from transformers import AutoModelForCausalLM

          base = AutoModelForCausalLM.from_pretrained("\(base)")
          model = PeftModel.from_pretrained(base, "adapter")
      """
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
      origin: AdapterOrigin(checkpoint))
    try pending.publish()
  }
}
