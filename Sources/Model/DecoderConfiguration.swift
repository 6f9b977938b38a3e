import Files
import Foundation
import GGUF
import JSON
import Kernels

/// The architectures that can be read.
public enum ModelFamily: String, Sendable, CaseIterable {
  /// Llama 2/3, SmolLM, TinyLlama and their like.
  case llama
  /// Mistral 7B: Llama with a sliding window.
  case mistral
  /// Qwen2 and Qwen2.5: Llama with biases on q, k and v.
  case qwen2
  /// Qwen3: Llama with a norm on each head's queries and keys.
  case qwen3
  /// GPT-2: LayerNorm, learned positions, fused and transposed projections.
  case gpt2
}

/// What `config.json` says of a decoder, in the field's words.
///
/// Every field that changes what the model computes is honoured or refused by name; the frozen
/// base's own dropouts are not applied. `unrecognized` lists what was neither known nor empty.
public struct DecoderConfiguration: Sendable {
  /// The architecture.
  public var family: ModelFamily
  /// The paths of its modules.
  public var names: ModuleNames
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
  /// Added to the variance in norms.
  public var normEpsilon: Double
  /// The feed-forward's non-linearity.
  public var activation: ActivationFunction
  /// Whether the head is the embedding table; of a decoder, whether it is in fact.
  public var tiesEmbeddings: Bool
  /// Biases on q, k, v.
  public var queryKeyValueBias: Bool
  /// Bias on the attention's output projection.
  public var outputBias: Bool
  /// Biases in the feed-forward network.
  public var feedForwardBias: Bool
  /// Per-head norms of queries and keys.
  public var queryKeyNorm: Bool
  /// Sliding window of each block; 0 = none.
  public var windows: [Int]
  /// Rotary positions; nil where positions are learned.
  public var rotary: RotaryScheme?
  /// Factor on attention scores for each block.
  public var attentionScales: [Double]
  /// End tokens that the configuration names.
  public var endTokens: [Int]
  /// Whether projections are stored as bitsandbytes quantised them.
  public var isQuantizedByBitsAndBytes = false
  /// Fields that were neither known nor empty.
  public var unrecognized: [String]

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
    self = try family.read(fields)
    unrecognized = fields.unread
    try validate(path: path)
  }

  init(family: ModelFamily, names: ModuleNames) {
    self.family = family
    self.names = names
    (vocabularySize, hiddenSize, intermediateSize, blockCount) = (0, 0, 0, 0)
    (headCount, keyValueHeadCount, headDim, maximumPositions) = (0, 0, 0, 0)
    normEpsilon = 1e-6
    activation = .silu
    tiesEmbeddings = false
    (queryKeyValueBias, outputBias, feedForwardBias, queryKeyNorm) = (false, false, false, false)
    windows = []
    rotary = nil
    attentionScales = []
    endTokens = []
    unrecognized = []
  }

  private func validate(path: String) throws(ModelError) {
    for (name, value) in [
      ("vocab_size", vocabularySize), ("hidden_size", hiddenSize),
      ("intermediate_size", intermediateSize), ("num_hidden_layers", blockCount),
      ("num_attention_heads", headCount), ("num_key_value_heads", keyValueHeadCount),
      ("head_dim", headDim), ("max_position_embeddings", maximumPositions),
    ] where value < 1 || value > 1 << 28 {
      throw .unsupportedField(
        name: name, value: "\(value)", expected: "a positive whole number", path: path)
    }
    if headCount % keyValueHeadCount != 0 {
      throw .inconsistentFields(
        "num_attention_heads \(headCount) is not a multiple of num_key_value_heads "
          + "\(keyValueHeadCount)", path: path)
    }
    if rotary != nil && headDim % 2 != 0 {
      throw .unsupportedField(
        name: "head_dim", value: "\(headDim)", expected: "an even number (rotary pairs)",
        path: path)
    }
  }
}
