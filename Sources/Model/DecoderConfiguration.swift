import Files
import Foundation
import GGUF
import JSON
import Kernels

/// How the rows of the residual stream are normalised.
public enum NormKind: Sendable, Hashable {
  /// RMSNorm, times the weight.
  case rms
  /// RMSNorm, times 1 + the weight.
  case rmsAroundOne
  /// LayerNorm, with a bias.
  case layer
}

/// Norms of queries and keys.
public enum QueryKeyNorm: Sendable, Hashable {
  /// None.
  case none
  /// Of each head, all heads by one weight.
  case perHead
  /// Of all heads together.
  case whole
}

/// Feed-forward networks of which each token takes some.
public struct ExpertConfiguration: Sendable, Hashable {
  /// Experts of a block.
  public var count: Int
  /// Experts that a token takes.
  public var countPerToken: Int
  /// Width of an expert.
  public var intermediateSize: Int
  /// Whether a token's weights are divided by their sum.
  public var normalizesWeights: Bool
  /// Which blocks have experts; the others have one network.
  public var blocks: [Bool]
}

/// What `config.json` says of a decoder, in the field's words.
///
/// Every field that changes what the model computes is honoured or refused by name; the frozen
/// base's own dropouts are not applied. `unrecognized` lists what was neither known nor empty.
public struct DecoderConfiguration: Sendable {
  /// The architecture: one of ``modelTypes``.
  public let modelType: String
  /// The paths of its modules.
  public let names: ModuleNames
  /// The model's class in transformers, where the file names it.
  public var modelClass: String?
  /// Rows of the embedding table.
  public var vocabularySize: Int
  /// Width of the residual stream.
  public var hiddenSize: Int
  /// Width of the feed-forward network.
  public var intermediateSize: Int
  /// Number of blocks.
  public var blockCount: Int
  /// Query heads.
  public var headCount: Int
  /// Key and value heads.
  public var keyValueHeadCount: Int
  /// Features of a head.
  public var headDim: Int
  /// Most positions; where rotary ones are stretched by a factor, the stretched number.
  public var maximumPositions: Int
  /// How rows are normalised.
  public var norm = NormKind.rms
  /// Added to the variance in norms.
  public var normEpsilon = 1e-6
  /// The feed-forward's non-linearity.
  public var activation = ActivationFunction.silu
  /// Whether the head is the embedding table; of a decoder, whether it is in fact.
  public var tiesEmbeddings = false
  /// Biases on q, k, v.
  public var queryKeyValueBias = false
  /// Bias on the attention's output projection.
  public var outputBias = false
  /// Biases in the feed-forward network.
  public var feedForwardBias = false
  /// Norms of queries and keys.
  public var queryKeyNorm = QueryKeyNorm.none
  /// What feed-forward networks of experts are made of; nil where there are none.
  public var experts: ExpertConfiguration?
  /// Whether attention and feed-forward read the same rows, and not one the other's result.
  public var isParallel = false
  /// Sliding window of each block; 0 = none.
  public var windows: [Int] = []
  /// Rotary positions of each block; nil where it has none.
  public var rotary: [RotaryScheme?] = []
  /// Factor on attention scores for each block.
  public var attentionScales: [Double] = []
  /// What scores stay below, by ±c·tanh(s/c); 0 = no cap.
  public var attentionSoftCap = 0.0
  /// Factor of a token's row of the embedding table.
  public var tokenScale = 1.0
  /// Factor of every row that enters the blocks, of virtual tokens too.
  public var embeddingScale = 1.0
  /// Factor of what each half of a block adds to the residual stream.
  public var residualScale = 1.0
  /// Factor of the logits.
  public var logitScale = 1.0
  /// What logits stay below, likewise; 0 = no cap.
  public var logitSoftCap = 0.0
  /// End tokens that the configuration names.
  public var endTokens: [Int] = []
  /// Whether projections are stored as bitsandbytes quantised them.
  public var isQuantizedByBitsAndBytes = false
  /// Fields that were neither known nor empty.
  public var unrecognized: [String] = []

  /// Whether positions are rows of a table, which ends.
  public var hasLearnedPositions: Bool { names.positions != nil }
  /// What older files call the head's weight, where the family has another name for it.
  public var savedHeadName: String? { names.savedHead.map { $0 + ".weight" } }
  /// What becomes of logits before the softmax.
  var logitScaling: HeadLoss.Scaling {
    HeadLoss.Scaling(scale: Float(logitScale), softCap: Float(logitSoftCap))
  }

  /// Features of the queries.
  public var querySize: Int { headCount * headDim }
  /// Features of the keys, and of the values.
  public var keyValueSize: Int { keyValueHeadCount * headDim }

  /// Reads a model directory's `config.json`, or what a GGUF file says in its place.
  public init(directory: String) throws(ModelError) {
    if GGUFFile.isOne(directory) {
      self = try ModelLocation.open(directory).configuration
      return
    }
    let path = directory + "/config.json"
    let data: Data
    do throws(FileError) { data = Data(try InputFile.bytes(of: path)) } catch {
      throw .unreadableFile(path: path, reason: error.reason)
    }
    let value: JSONValue
    do {
      value = try JSONValue(parsing: data)
    } catch {
      throw .malformedConfiguration(path: path, reason: "\(error)")
    }
    try self.init(value, path: path)
  }

  /// Interprets a configuration.
  ///
  /// - Parameter value: the object of `config.json`.
  /// - Parameter path: where it came from, for messages.
  public init(_ value: JSONValue, path: String = "config.json") throws(ModelError) {
    guard value.object != nil else {
      throw .malformedConfiguration(path: path, reason: "it is not an object")
    }
    let type = try ConfigurationFields(value, path: path).string("model_type")
    guard let family = DecoderFamily.named(type) else {
      throw .unsupportedModelType(found: type, path: path)
    }
    let fields = ConfigurationFields(value, path: path, aliases: family.aliases)
    self.init(modelType: family.modelType, names: family.names)
    modelClass = value["architectures"]?.array?.first?.string
    try family.read(fields, &self)
    unrecognized = fields.unread
    try validate(path: path)
  }

  private init(modelType: String, names: ModuleNames) {
    self.modelType = modelType
    self.names = names
    (vocabularySize, hiddenSize, intermediateSize, blockCount) = (0, 0, 0, 0)
    (headCount, keyValueHeadCount, headDim, maximumPositions) = (0, 0, 0, 0)
  }

  private func validate(path: String) throws(ModelError) {
    for (name, value) in [
      ("vocab_size", vocabularySize), ("hidden_size", hiddenSize),
      ("intermediate_size", intermediateSize), ("num_hidden_layers", blockCount),
      ("num_attention_heads", headCount), ("num_key_value_heads", keyValueHeadCount),
      ("head_dim", headDim), ("max_position_embeddings", maximumPositions),
      ("num_experts", experts?.count ?? 1),
      ("moe_intermediate_size", experts?.intermediateSize ?? 1),
    ] where value < 1 || value > 1 << 28 {
      throw .unsupportedField(
        name: name, value: "\(value)", expected: "a positive whole number", path: path)
    }
    if let experts, !(1...experts.count).contains(experts.countPerToken) {
      throw .inconsistentFields(
        "num_experts_per_tok \(experts.countPerToken) is not from 1 to the \(experts.count) experts",
        path: path)
    }
    if headCount % keyValueHeadCount != 0 {
      throw .inconsistentFields(
        "num_attention_heads \(headCount) is not a multiple of num_key_value_heads "
          + "\(keyValueHeadCount)", path: path)
    }
    for case let scheme? in rotary where scheme.features % 2 != 0 || scheme.features > headDim {
      throw .unsupportedField(
        name: scheme.features == headDim ? "head_dim" : "partial_rotary_factor",
        value: "\(scheme.features) features that turn",
        expected: "an even number (rotary pairs), at most head_dim", path: path)
    }
    // Most blocks have the same.
    for scheme in Set(rotary.compactMap(\.self)) where !scheme.hasAngles(upTo: maximumPositions) {
      throw .unsupportedField(
        name: "rope_theta", value: "\(scheme.theta), with \(scheme.features) features that turn",
        expected: "a base and factors by which angles stay below 2^28 at the last of "
          + "\(maximumPositions) positions, of at most 65536 features", path: path)
    }
  }
}
