import Kernels
import Safetensors
import Tensors

extension Decoder {
  /// Reads a Hugging Face model directory: `config.json` and its safetensors, mapped, not copied.
  ///
  /// - Parameters:
  ///   - directory: the model directory.
  ///   - arithmetic: arithmetic of products with frozen weights and of attention.
  ///   - finiteCheck: which share of the tensors is searched for NaN and infinities; the ranks of a
  ///     node divide them. `of: 0` searches none.
  /// - Throws: `ModelError` naming the field or the tensor that is missing, extra, misshapen,
  ///   non-finite or unsupported.
  public convenience init(
    directory: String, arithmetic: Arithmetic = .float32,
    finiteCheck: (part: Int, of: Int) = (0, 1)
  ) throws(ModelError) {
    var configuration = try DecoderConfiguration(directory: directory)
    var warnings: [String] = []
    let files: WeightFiles
    do {
      files = try WeightFiles(directory: directory)
    } catch {
      throw .unreadableWeights(error)
    }
    let weights = BaseWeights(files)
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
      files: weights.files, parameters: weights.parameters, embedding: embedding,
      positions: positions, blocks: blocks, finalNorm: finalNorm, head: head)
  }
}
