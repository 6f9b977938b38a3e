import Diagnostics

/// What can be wrong with a base model directory or with what is attached to it.
public enum ModelError: ClassifiedError {
  /// A file of the model directory is missing or cannot be read.
  case unreadableFile(path: String, reason: String)
  /// A weight file is damaged, missing or of an unsupported type.
  case unreadableWeights(any Error & CustomStringConvertible)
  /// `config.json` is not JSON.
  case malformedConfiguration(path: String, reason: String)
  /// The architecture is not one of ours.
  case unsupportedModelType(found: String, path: String)
  /// A field is missing.
  case missingField(name: String, path: String)
  /// A field has a value that would change the mathematics in a way that is not built.
  case unsupportedField(name: String, value: String, expected: String, path: String)
  /// Two fields contradict each other.
  case inconsistentFields(String, path: String)
  /// A tensor that the configuration asks for is not in the weight files.
  case missingTensor(name: String, path: String, similar: [String])
  /// A tensor that the architecture does not have.
  case unexpectedTensors(names: [String], path: String)
  /// A tensor has another shape than the configuration asks for.
  case misshapenTensor(name: String, file: String, found: [Int], expected: [Int], hint: String)
  /// A tensor holds NaN or an infinity.
  case nonFiniteTensor(name: String, file: String, index: Int)
  /// A hook was attached to a place that the model does not have.
  case unknownSite(name: String, known: [String])
  /// A tensor that is to train is stored in a quantised format.
  case quantizedParameter(name: String, format: String)
  /// The weights are quantised in a layout that is not read.
  case unsupportedQuantization(method: String, path: String)
  /// A weight cannot be kept in fewer bits.
  case notQuantizable(name: String, reason: String)
  /// A sequence does not fit into the model's positions.
  case tooManyPositions(needed: Int, available: Int, what: String)
  /// A pass needs more memory than there can be.
  case memoryShortage(MemoryShortage)

  /// All but sites and positions are the fault of files.
  public var errorClass: ErrorClass {
    switch self {
    case .unknownSite, .tooManyPositions, .quantizedParameter, .notQuantizable: .usage
    case .memoryShortage(let shortage): shortage.errorClass
    default: .input
    }
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .unreadableFile(let path, let reason):
      "Cannot read \(path): \(reason). Give a Hugging Face model directory with config.json and "
        + "model.safetensors."
    case .unreadableWeights(let error): error.description
    case .memoryShortage(let shortage): shortage.description
    case .malformedConfiguration(let path, let reason):
      "\(path) is not valid JSON: \(reason). Fetch the file again."
    case .unsupportedModelType(let found, let path):
      "model_type '\(found)' in \(path) is not supported. Supported are "
        + "\(DecoderConfiguration.modelTypes.joined(separator: ", "))."
    case .missingField(let name, let path):
      "\(path) lacks the field '\(name)'. Fetch the model's own config.json."
    case .unsupportedField(let name, let value, let expected, let path):
      "\(name) = \(value) in \(path) is not supported: it would change what the model computes. "
        + "Supported: \(expected)."
    case .inconsistentFields(let what, let path):
      "\(path) contradicts itself: \(what)."
    case .missingTensor(let name, let path, let similar):
      "Tensor '\(name)' is not in \(path)."
        + (similar.isEmpty ? "" : " The file has '\(similar.joined(separator: "', '"))'.")
        + " Check that config.json belongs to these weights, and that no shard is missing."
    case .unexpectedTensors(let names, let path):
      "\(path) holds \(names.count) tensors that the configuration has no place for: "
        + names.prefix(4).map { "'\($0)'" }.joined(separator: ", ")
        + (names.count > 4 ? ", …" : "")
        + ". Check num_hidden_layers, the bias fields and model_type in config.json."
    case .misshapenTensor(let name, let file, let found, let expected, let hint):
      "Tensor '\(name)' in \(file) is \(found); the configuration asks \(expected)."
        + (hint.isEmpty ? "" : " " + hint)
    case .nonFiniteTensor(let name, let file, let index):
      "Tensor '\(name)' in \(file) holds NaN or infinity (element \(index)). The file is damaged "
        + "or the model had diverged when it was saved; fetch it again."
    case .unknownSite(let name, let known):
      "The model has no place '\(name)' to attach to. It has \(known.joined(separator: ", "))."
    case .quantizedParameter(let name, let format):
      "Tensor '\(name)' is quantised (\(format)): its few bits cannot take the small steps of a "
        + "training. "
        + "Train an adapter beside it (--method lora), or give the model in bf16, f16 or f32."
    case .unsupportedQuantization(let method, let path):
      "The weights of \(path) are quantised by '\(method)' (quantization_config), a layout that is not "
        + "read. Give the model unquantised (--quantize-base nf4 keeps it as small), in GGUF, or as "
        + "bitsandbytes quantised it (NF4, FP4, LLM.int8)."
    case .notQuantizable(let name, let reason):
      "Tensor '\(name)' cannot be quantised: \(reason)."
    case .tooManyPositions(let needed, let available, let what):
      "\(what) needs \(needed) positions; the model has \(available). Lower max_length (or the "
        + "number of virtual tokens)."
    }
  }
}
