import Files
import Foundation
import GGUF
import JSON
import Model
import PEFT
import Safetensors
import Tensors

/// A stand-alone Hugging Face model directory: a base with what a method trained folded in.
///
/// It computes in f32, tensor by tensor, and rounds once to the stored type. Tensors that the
/// method does not touch are copied bit for bit.
public enum ModelDirectory {
  /// Files of a base that its new weights still go with.
  private static let companions = [
    "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "tokenizer.model", "chat_template.jinja", "chat_template.json",
  ]

  /// Makes the directory at once or not at all.
  ///
  /// - Parameters:
  ///   - path: the new directory; an earlier one of that name goes.
  ///   - base: the base, with the method attached.
  ///   - method: what merges into it.
  /// - Throws: `FileError` and what ``write(to:base:method:elementType:)`` throws.
  public static func publish(
    _ path: String, base: Decoder, method: any PEFTMethod
  ) throws {
    try publishDirectory(path, replacing: true) {
      _ = try write(to: $0, base: base, method: method, elementType: nil)
    }
  }

  /// Writes all files of the model into a directory, which must be there.
  ///
  /// - Parameters:
  ///   - directory: where the files go.
  ///   - base: the base, with the method attached.
  ///   - method: what merges into it.
  ///   - elementType: how weights are stored; as the base's where nil.
  /// - Returns: the coarsest type that weights are stored in.
  /// - Throws: `PEFTError.cannotMerge` with the method's reason, `SafetensorsError`, `FileError`.
  public static func write(
    to directory: String, base: Decoder, method: any PEFTMethod, elementType: ElementType?
  ) throws -> ElementType {
    if let reason = method.mergeRefusal {
      throw PEFTError.cannotMerge(method: method.name, reason: reason)
    }
    let (untied, coarsest) = try writeWeights(
      directory + "/model.safetensors", base: base, method: method, elementType: elementType)
    // Untied by the method, or by weights that contradict the configuration.
    let ties = base.configuration.tiesEmbeddings && !untied
    try writeConfiguration(directory, base: base, elementType: elementType, ties: ties)
    if GGUFFile.isOne(base.directory) {
      try writeTokenizer(directory, of: try GGUFFiles(path: base.directory))
    } else {
      for name in companions { try copy(name, from: base.directory, to: directory) }
    }
    return coarsest
  }

  /// Writes every tensor.
  ///
  /// - Returns: whether the head had to be told from the embedding table, and the coarsest type
  ///   written.
  private static func writeWeights(
    _ path: String, base: Decoder, method: any PEFTMethod, elementType: ElementType?
  ) throws -> (untied: Bool, coarsest: ElementType) {
    let (sources, untied) = try sources(of: base)
    let standard = standardType(of: base)
    let largest = sources.map(\.tensor.elementCount).max() ?? 0
    let buffer = FloatBuffer(count: largest)

    var entries: [SafetensorsWriter.Entry] = []
    for (name, tensor) in sources {
      // A head keeps the name that the family's older files have for it, which is read everywhere.
      let isOlder = tensor.name == base.configuration.savedHeadName
      entries.append(
        SafetensorsWriter.Entry(
          isOlder ? tensor.name : name,
          elementType ?? standard ?? tensor.elementType ?? .bfloat16, shape: tensor.shape))
    }
    var writer = try SafetensorsWriter(path: path, tensors: entries)
    for ((name, tensor), entry) in zip(sources, entries) {
      let values = view(buffer, tensor)
      try tensor.copyFloats(into: values)
      let changed = method.merge(into: values, of: name, decoder: base)
      if !changed, entry.elementType == tensor.elementType,
        let tensor = tensor as? SafetensorsTensor
      {
        try writer.write(entry.name, copying: tensor)
      } else {
        try writer.write(entry.name, from: values)
      }
    }
    try writer.finish()
    let types = Set(entries.map(\.elementType))
    let coarsest = [ElementType.bfloat16, .float16].first { types.contains($0) } ?? .float32
    return (untied, coarsest)
  }

  /// The base's stored tensors that a model is written of, and whether the head had to be told from the
  /// embedding table.
  static func sources(
    of base: Decoder
  ) throws -> (sources: [(name: String, tensor: any BaseTensor)], untied: Bool) {
    var sources: [(name: String, tensor: any BaseTensor)] = []
    for parameter in base.parameters {
      sources.append((parameter.name, try stored(parameter.name, of: base)))
    }
    // A tied head or table that the method trains alone parts the two: both are written.
    let headName = "lm_head.weight"
    var untied = false
    let isNamed = sources.contains { $0.name == headName }
    if let table = sources.first(where: { $0.tensor.shape.count == 2 }),
      base.configuration.tiesEmbeddings && !isNamed && !base.isHeadTied
    {
      untied = true
      sources.append((headName, table.tensor))
    }
    return (sources, untied)
  }

  /// The type that a quantised base's weights are written in: what its configuration names, which
  /// is what they stand for; nil where each tensor has its own.
  private static func standardType(of base: Decoder) -> ElementType? {
    let isGGUF = GGUFFile.isOne(base.directory)
    guard isGGUF || base.parameters.contains(where: \.storedFormat.isQuantized) else { return nil }
    let members = try? configuration(of: base)
    let name = (members?["dtype"] ?? members?["torch_dtype"])?.string
    return [ElementType.float32, .float16, .bfloat16].first { $0.torchName == name } ?? .bfloat16
  }

  /// A tensor of the base under its full name, or the bare decoder's.
  private static func stored(_ name: String, of base: Decoder) throws -> any BaseTensor {
    let source = base.source
    let older = name == "lm_head.weight" ? base.configuration.savedHeadName : nil
    let bare = name.split(separator: ".", maxSplits: 1).last.map(String.init) ?? name
    // The base was read, so all are there; a tied table may be so under the head's name alone.
    let place = [older, name, bare, "lm_head.weight"].compactMap(\.self).first {
      source.contains($0)
    }
    return try source.tensor(named: place ?? name)
  }

  private static func view(_ buffer: borrowing FloatBuffer, _ tensor: any BaseTensor)
    -> MatrixView
  {
    let columns = tensor.shape.last ?? 1
    return buffer.view(rows: tensor.elementCount / max(columns, 1), columns: columns)
  }

  /// The base's own configuration, changed where the weights are.
  private static func writeConfiguration(
    _ directory: String, base: Decoder, elementType: ElementType?, ties: Bool
  ) throws {
    let isPlain =
      !GGUFFile.isOne(base.directory)
      && !base.parameters.contains(where: \.storedFormat.isQuantized)
    let isChanged = try DecoderConfiguration(directory: base.directory).tiesEmbeddings != ties
    guard elementType != nil || isChanged || !isPlain else {
      return try copy("config.json", from: base.directory, to: directory)
    }
    var members = try configuration(of: base)
    members["quantization_config"] = nil
    if let elementType = elementType ?? standardType(of: base) {
      let key = members["dtype"] == nil ? "torch_dtype" : "dtype"
      members[key] = .string(elementType.torchName)
    }
    if isChanged { members["tie_word_embeddings"] = .bool(ties) }
    try PendingFile.write(
      JSONValue.object(members).text(indentation: 2), to: directory + "/config.json")
  }

  /// The members of the base's configuration.
  private static func configuration(of base: Decoder) throws -> [String: JSONValue] {
    if GGUFFile.isOne(base.directory) {
      return try GGUFModel(path: base.directory).configuration.object ?? [:]
    }
    let bytes = try InputFile.bytes(of: base.directory + "/config.json")
    return try JSONValue(parsing: Data(bytes)).object ?? [:]
  }

  /// Writes the tokenizer of a GGUF file as Hugging Face has it.
  private static func writeTokenizer(_ directory: String, of files: GGUFFiles) throws {
    guard files.hasTokenizer else { return }
    try PendingFile.write(
      try files.tokenizerDocument().text, to: directory + "/tokenizer.json")
    try PendingFile.write(
      try files.tokenizerConfiguration().text, to: directory + "/tokenizer_config.json")
  }

  private static func copy(
    _ name: String, from base: String, to directory: String
  ) throws(FileError) {
    let source = "\(base)/\(name)"
    guard FileManager.default.fileExists(atPath: source) else { return }
    // A base in a cache is often a link, and the file is what is wanted.
    try PendingFile.write(try InputFile.bytes(of: source), to: "\(directory)/\(name)")
  }
}

extension ElementType {
  /// The type as `config.json` names it.
  fileprivate var torchName: String {
    switch self {
    case .float32: "float32"
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    }
  }
}
