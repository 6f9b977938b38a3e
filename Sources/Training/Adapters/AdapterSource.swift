import Checkpointing
import Foundation
import GGUF
import JSON
import PEFT
import Tokenizers

/// Which method a run uses, with which fields, and from which tensors it starts.
public struct AdapterSource {
  /// The method's name.
  public let methodName: String
  /// Fields of its configuration, by Hugging Face name.
  public private(set) var fields: [String: JSONValue]
  /// Tensors by their names in the weight file; nil for a fresh start.
  public let tensors: [NamedTensor]?
  /// What errors call the source of the fields.
  public let description: String

  /// Reads an adapter: a Hugging Face adapter directory or an HDF5 checkpoint.
  ///
  /// - Throws: `PEFTError`, `SafetensorsError` or `CheckpointError`, naming the file.
  public init(path: String) throws {
    let manager = FileManager.default
    guard manager.fileExists(atPath: path) else {
      throw PEFTError.unreadableFile(path: path, reason: "no such file or directory")
    }
    if (try? manager.contentsOfDirectory(atPath: path)) != nil {
      let directory = AdapterDirectory(path: path)
      let configuration = try directory.configuration()
      description = directory.configurationPath
      methodName = try PEFTMethods.name(of: configuration, source: description)
      fields = configuration.object ?? [:]
      tensors = try directory.tensors()
    } else {
      let checkpoint = try StoredCheckpoint(path: path)
      description = path
      methodName = checkpoint.reader.metadata.method
      fields = checkpoint.adapterConfiguration?.object ?? [:]
      tensors = try checkpoint.tensors()
    }
  }

  /// What a run's settings ask for: an adapter, a Hugging Face configuration, or fields by name.
  ///
  /// Fields that were set by themselves win over those of a file.
  ///
  /// - Throws: what reading the files throws, and `TrainingError.methodMismatch`.
  public init(_ configuration: RunConfiguration) throws {
    if let path = configuration.adapter {
      self = try AdapterSource(path: path)
      try AdapterSource.checkName(configuration, is: methodName, path: path)
    } else if let path = configuration.peftConfiguration {
      let file = try AdapterDirectory.readConfiguration(path)
      description = path
      methodName = try PEFTMethods.name(of: file, source: path)
      fields = file.object ?? [:]
      tensors = nil
      try AdapterSource.checkName(configuration, is: methodName, path: path)
    } else {
      description = "the options of \(configuration.method)"
      methodName = configuration.method
      fields = [:]
      tensors = nil
    }
    fields.merge(configuration.methodFields(of: methodName)) { $1 }
  }

  /// The same with the tokens of `prompt_tuning_init_text`, where a fresh prompt starts at a text.
  ///
  /// Special tokens that the tokenizer adds are among them, as with PEFT.
  /// - Parameter model: the model directory, whose tokenizer is used unless one is named.
  /// - Throws: `TokenizerError`.
  func tokenizingPrompt(model: String) throws -> AdapterSource {
    guard tensors == nil, fields["prompt_tuning_init"] == "TEXT",
      let text = fields["prompt_tuning_init_text"]?.string
    else { return self }
    let directory = fields["tokenizer_name_or_path"]?.string ?? model
    let ids = try Tokenizer(model: directory).encode(text, addSpecialTokens: true)
    var source = self
    source.fields["prompt_tuning_init_token_ids"] = .array(ids.map { .int(Int($0)) })
    return source
  }

  private static func checkName(
    _ configuration: RunConfiguration, is name: String, path: String
  ) throws(TrainingError) {
    if configuration.settings.isSet("method") && configuration.method != name {
      throw .methodMismatch(given: configuration.method, adapter: name, path: path)
    }
  }
}
