import Files
import GGUF
import JSON
import Kernels

extension Decoder {
  /// Reads a model: a Hugging Face directory (`config.json` and its safetensors) or a GGUF file,
  /// mapped, not copied.
  ///
  /// - Parameters:
  ///   - directory: the model directory or file.
  ///   - files: where the bytes of its weights come from.
  ///   - arithmetic: arithmetic of products with frozen weights and of attention.
  ///   - finiteCheck: which share of the tensors is searched for NaN and infinities; the ranks of a
  ///     node divide them. `of: 0` searches none.
  /// - Throws: `ModelError` naming the field or the tensor that is missing, extra, misshapen,
  ///   non-finite or unsupported.
  public convenience init(
    directory: String, files: FileMap = .disk, arithmetic: Arithmetic = .float32,
    finiteCheck: (part: Int, of: Int) = (0, 1)
  ) throws(ModelError) {
    let (source, stated) = try ModelLocation.open(directory, files)
    var configuration = stated
    var warnings: [String] = []
    let weights = BaseWeights(source)
    let parts = try DecoderParts(weights, configuration, arithmetic)
    if finiteCheck.of > 0 {
      try weights.checkFinite(part: finiteCheck.part, of: finiteCheck.of)
    }
    let isTied = parts.head.weight === parts.embedding
    if configuration.tiesEmbeddings && !isTied {
      warnings = [
        "config.json of \(directory) ties the head to the embedding table (tie_word_embeddings), "
          + "and its weights hold a head with other numbers: that head is used, as transformers 5 "
          + "does. Set tie_word_embeddings to false there."
      ]
    }
    configuration.tiesEmbeddings = isTied
    self.init(
      configuration: configuration, warnings: warnings, directory: directory,
      arithmetic: arithmetic, contents: weights.contents, parts: parts)
  }
}

/// Tells a model's directory from a GGUF file.
package enum ModelLocation {
  /// The files that hold a model's weights, mapped.
  ///
  /// - Throws: `ModelError` where they cannot be read.
  package static func weightFiles(
    of path: String, _ files: FileMap = .disk
  ) throws(ModelError) -> [MappedFile] {
    try open(path, files).source.mappedFiles
  }

  /// The source of the tensors, and the configuration.
  static func open(
    _ path: String, _ files: FileMap = .disk
  ) throws(ModelError) -> (source: any WeightSource, configuration: DecoderConfiguration) {
    guard GGUFFile.isOne(path, files: files) else {
      let configuration = try DecoderConfiguration(directory: path)
      let source = try SafetensorsSource(directory: path, files: files)
      return configuration.isQuantizedByBitsAndBytes
        ? (
          try BitsAndBytesSource(source, isTransposed: configuration.storesInputMajor),
          configuration
        ) : (source, configuration)
    }
    let model: GGUFModel
    do { model = try GGUFModel(path: path, files: files) } catch { throw .unreadableWeights(error) }
    let configuration = try DecoderConfiguration(model.configuration, path: path)
    return (GGUFSource(model: model, configuration: configuration), configuration)
  }
}

extension DecoderParts {
  /// Makes all parts out of named tensors.
  init(
    _ weights: BaseWeights, _ c: DecoderConfiguration, _ arithmetic: Arithmetic
  ) throws(ModelError) {
    guard let family = DecoderFamily.named(c.modelType) else {
      preconditionFailure("a configuration of no family: \(c.modelType)")
    }
    let embedding = try weights.embedding(c.names.embedding + ".weight", c)
    var positions: Parameter?
    if let path = c.names.positions {
      positions = try weights.matrix(
        path + ".weight", outputSize: c.maximumPositions, inputSize: c.hiddenSize)
    }
    var builder = LayerBuilder(weights, c, arithmetic)
    var blocks: [DecoderBlock] = []
    for index in 0..<c.blockCount { blocks.append(try family.block(&builder, index)) }
    let finalNorm = try builder.norm(c.names.finalNorm)
    let head = builder.head(try weights.head(embedding, c))
    try weights.finish(ignoring: family.savedBuffers)
    self.init(
      source: weights.source, parameters: weights.parameters, embedding: embedding,
      positions: positions, blocks: blocks, finalNorm: finalNorm, head: head)
  }
}
