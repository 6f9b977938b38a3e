import GGUF
import JSON
import Kernels
import Tensors

extension Decoder {
  /// Reads a model: a Hugging Face directory (`config.json` and its safetensors) or a GGUF file,
  /// mapped, not copied.
  ///
  /// - Parameters:
  ///   - directory: the model directory or file.
  ///   - arithmetic: arithmetic of products with frozen weights and of attention.
  ///   - finiteCheck: which share of the tensors is searched for NaN and infinities; the ranks of a
  ///     node divide them. `of: 0` searches none.
  /// - Throws: `ModelError` naming the field or the tensor that is missing, extra, misshapen,
  ///   non-finite or unsupported.
  public convenience init(
    directory: String, arithmetic: Arithmetic = .float32,
    finiteCheck: (part: Int, of: Int) = (0, 1)
  ) throws(ModelError) {
    let (source, stated) = try ModelLocation.open(directory)
    var configuration = stated
    var warnings: [String] = []
    let weights = BaseWeights(source)
    let type = configuration.family.rawValue
    guard let family = DecoderFamily.named(type) else {
      throw .unsupportedModelType(found: type, path: directory + "/config.json")
    }
    let parts = try family.build(weights, configuration, arithmetic)
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
enum ModelLocation {
  /// The source of the tensors, and the configuration.
  static func open(
    _ path: String
  ) throws(ModelError) -> (source: any WeightSource, configuration: DecoderConfiguration) {
    guard GGUFFile.isOne(path) else {
      let configuration = try DecoderConfiguration(directory: path)
      let source = try SafetensorsSource(directory: path)
      return configuration.isQuantizedByBitsAndBytes
        ? (
          try BitsAndBytesSource(source, isTransposed: configuration.family == .gpt2), configuration
        ) : (source, configuration)
    }
    let model: GGUFModel
    do { model = try GGUFModel(path: path) } catch { throw .unreadableWeights(error) }
    return (GGUFSource(model: model), try DecoderConfiguration(model.configuration, path: path))
  }
}

/// Makes projections and norms out of named tensors, and numbers the sites.
struct LayerBuilder {
  let weights: BaseWeights
  let configuration: DecoderConfiguration
  let arithmetic: Arithmetic
  private var siteCount = 0

  init(_ weights: BaseWeights, _ configuration: DecoderConfiguration, _ arithmetic: Arithmetic) {
    self.weights = weights
    self.configuration = configuration
    self.arithmetic = arithmetic
  }

  mutating func linear(
    _ path: String, block: Int, from inputSize: Int, to outputSize: Int, bias: Bool,
    layout: WeightMatrix.Layout = .outputMajor, hint: (_ found: [Int]) -> String = { _ in "" }
  ) throws(ModelError) -> LinearLayer {
    let weight = try weights.matrix(
      path + ".weight", outputSize: outputSize, inputSize: inputSize, layout: layout, hint: hint)
    let biasVector = bias ? try weights.vector(path + ".bias", count: outputSize) : nil
    defer { siteCount += 1 }
    return LinearLayer(
      path: path, block: block, weight: weight, bias: biasVector, arithmetic: arithmetic,
      siteIndex: siteCount)
  }

  /// The head: the last site.
  func head(_ weight: Parameter) -> LinearLayer {
    LinearLayer(
      path: BaseWeights.headPath, block: configuration.blockCount, weight: weight,
      bias: nil, arithmetic: arithmetic, siteIndex: siteCount)
  }

  func norm(_ path: String, size: Int, bias: Bool = false) throws(ModelError) -> NormLayer {
    NormLayer(
      path: path, weight: try weights.vector(path + ".weight", count: size),
      bias: bias ? try weights.vector(path + ".bias", count: size) : nil,
      epsilon: configuration.normEpsilon)
  }

  func core(block: Int) -> AttentionCore {
    AttentionCore(
      shape: AttentionShape(
        headCount: configuration.headCount, keyValueHeadCount: configuration.keyValueHeadCount,
        headDim: configuration.headDim, scale: Float(configuration.attentionScales[block]),
        window: configuration.windows[block]),
      block: block, arithmetic: arithmetic)
  }
}
