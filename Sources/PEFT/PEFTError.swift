import Diagnostics

/// What can be wrong with a method's configuration or with an adapter's files.
public enum PEFTError: ClassifiedError {
  /// No method of that name.
  case unknownMethod(name: String, known: [String])
  /// A field of the method's configuration has a value that is not supported.
  case unsupportedField(name: String, value: String, expected: String, source: String)
  /// A field that the method does not know has a value that may change the mathematics.
  case unknownField(
    name: String, value: String, source: String, nearest: String?, takenBy: [String] = [])
  /// Two fields contradict each other.
  case inconsistentFields(String, source: String)
  /// Fields, named in `selection`, select no module.
  case nothingTargeted(selection: String, available: [String])
  /// A tensor that the method needs is not in the adapter.
  case missingTensor(name: String, source: String)
  /// A tensor that the method has no place for is in the adapter.
  case unexpectedTensors(names: [String], source: String)
  /// The adapter carries the base's embeddings, which PEFT's `save_embedding_layers` puts there.
  case savedEmbeddings(names: [String], source: String)
  /// A tensor has another shape than the configuration asks for.
  case misshapenTensor(name: String, found: [Int], expected: [Int])
  /// A file of the adapter directory is missing or unreadable.
  case unreadableFile(path: String, reason: String)
  /// The method cannot work on this base.
  case unsupportedBase(method: String, reason: String)
  /// The adapter holds what a format cannot say.
  case cannotExport(format: String, what: String)
  /// The adapter cannot be folded into the base.
  case cannotMerge(method: String, reason: String)
  /// What trains needs more memory than there can be.
  case memoryShortage(MemoryShortage)

  /// Configurations are the user's, tensors are files'.
  public var errorClass: ErrorClass {
    switch self {
    case .missingTensor, .unexpectedTensors, .savedEmbeddings, .misshapenTensor, .unreadableFile:
      .input
    default: .usage
    }
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .memoryShortage(let shortage): shortage.description
    case .unknownMethod(let name, let known):
      "There is no method '\(name)'. Methods are \(known.joined(separator: ", "))."
    case .unsupportedField(let name, let value, let expected, let source):
      "\(name) = \(value) in \(source) is not supported. Supported: \(expected)."
    case .unknownField(let name, let value, let source, let nearest, let methods):
      "'\(name)' is \(value) in \(source), and this method has no such field; it may change what the "
        + "adapter computes. "
        + (methods.isEmpty ? "" : "It is a field of \(methods.joined(separator: ", ")). ")
        + (nearest.map { "Did you mean '\($0)'?" } ?? "Remove it, or set it to null.")
    case .inconsistentFields(let what, let source):
      "In \(source): \(what)."
    case .nothingTargeted(let selection, let available):
      "\(selection) match no module of this model. It has \(available.joined(separator: ", "))."
    case .missingTensor(let name, let source):
      "Tensor '\(name)' is not in \(source). The file does not belong to this configuration or base."
    case .unexpectedTensors(let names, let source):
      "\(source) holds \(names.count) tensors that the configuration has no place for, the first is "
        + "'\(names.first ?? "")'. The file does not belong to this configuration or base."
    case .savedEmbeddings(let names, let source):
      "\(source) carries embeddings of the base (\(names.joined(separator: ", "))), which would take the "
        + "base's place and are not supported. If they were not trained, save the adapter again with "
        + "save_embedding_layers=False; if they were, name the modules in modules_to_save."
    case .misshapenTensor(let name, let found, let expected):
      "Tensor '\(name)' is \(found); this configuration and base ask \(expected)."
    case .unreadableFile(let path, let reason):
      "Cannot read \(path): \(reason)."
    case .unsupportedBase(let method, let reason):
      "\(method) does not work on this base: \(reason)."
    case .cannotExport(let format, let what):
      "\(format) cannot say \(what). Fold the adapter into its base instead: "
        + "swift-peft-train merge, with --to gguf where that is what is wanted."
    case .cannotMerge(let method, let reason):
      "An adapter of \(method) cannot be merged into the base: \(reason). Use the base together with "
        + "the adapter, or train with lora, adalora or ia3."
    }
  }
}
