import Files
import JSON

/// A language model in GGUF, told in the words of Hugging Face: its configuration, its tensors by
/// their names there, its tokenizer.
///
/// ```swift
/// let model = try GGUFModel(path: "model.gguf")
/// let configuration = model.configuration  // what config.json would say
/// ```
///
/// Architectures differ in what the converter did to them; those whose changes are undone here are
/// read, others refused by name. It computes nothing.
package struct GGUFModel: Sendable {
  package let files: GGUFFiles
  /// `general.architecture`.
  package let architecture: String
  /// What the model's `config.json` would say.
  package let configuration: JSONValue
  /// The tensors by Hugging Face's names, in the order of the file.
  package let tensors: [(name: String, tensor: GGUFTensor)]
  private let indexByName: [String: Int]

  /// The file that was given.
  package var path: String { files.path }

  /// Opens a model.
  ///
  /// - Parameter path: a GGUF file, or the first of its parts.
  /// - Parameter files: where its bytes come from.
  /// - Throws: what is wrong with the file, or not known to this reader: an architecture, a tensor,
  /// a key.
  package init(path: String, files: FileMap = .disk) throws(GGUFError) {
    try self.init(try GGUFFiles(path: path, files: files))
  }

  init(_ files: GGUFFiles) throws(GGUFError) {
    let metadata = files.metadata
    if let type = try metadata.string("general.type"), type != "model" {
      throw .unsupported(
        path: files.path,
        what: "it holds \(type == "adapter" ? "an adapter" : "'\(type)'"), not "
          + "a model",
        remedy: "Give the model's own file.")
    }
    guard let architecture = try metadata.string("general.architecture") else {
      throw .badKey(
        path: files.path, key: "general.architecture", found: "missing",
        expected: "the model's architecture")
    }
    guard let names = GGUFNames.of(architecture) else {
      throw .unsupported(
        path: files.path, what: "models of the architecture '\(architecture)' are not read",
        remedy: "Architectures that are read: \(GGUFNames.architectures.joined(separator: ", ")).")
    }
    self.files = files
    self.architecture = architecture
    var tensors: [(name: String, tensor: GGUFTensor)] = []
    var unknown: [String] = []
    for tensor in files.tensors {
      switch names.huggingFace(tensor.name) {
      case .named(let name): tensors.append((name, tensor))
      case .ignored: break
      case .unknown: unknown.append(tensor.name)
      }
    }
    if let first = unknown.first {
      throw .unsupported(
        path: files.path,
        what: "\(unknown.count) tensors have no place in '\(architecture)' as it is computed here: "
          + unknown.prefix(4).map { "'\($0)'" }.joined(separator: ", ")
          + (unknown.count > 4 ? ", …" : ""),
        remedy: "'\(first)' may change what the model computes, so the file is refused.")
    }
    self.tensors = tensors
    indexByName = Dictionary(
      tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    configuration = try GGUFConfiguration(files, architecture).value
  }

  /// A tensor by Hugging Face's name.
  package func tensor(named name: String) -> GGUFTensor? {
    indexByName[name].map { tensors[$0].tensor }
  }

  /// Rows of a head whose halves the converter stored by turns, for a tensor of Hugging Face's
  /// name; 0 where it left the rows alone.
  ///
  /// `llama` alone has it, for queries and keys and their biases: llama.cpp turns neighbouring
  /// features of these models as pairs.
  package func interleavedHead(_ name: String) -> Int {
    guard architecture == "llama",
      name.contains(".self_attn.q_proj.") || name.contains(".self_attn.k_proj.")
    else { return 0 }
    return configuration["head_dim"]?.int ?? 0
  }
}
