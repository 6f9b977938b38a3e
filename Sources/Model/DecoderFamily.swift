import Kernels

/// Everything that Model must be told of a `model_type`: one value in the family's folder.
///
/// To add a family is to add its folder and its name in `all`.
struct DecoderFamily: Sendable {
  /// What `config.json` calls it.
  let modelType: ModelFamily
  /// Other names of its fields that transformers takes too, with their own.
  var aliases: [String: String] = [:]
  /// The paths of its modules.
  let names: ModuleNames
  /// Reads its fields.
  let read: @Sendable (_ fields: ConfigurationFields) throws(ModelError) -> DecoderConfiguration
  /// Makes its decoder's parts out of named tensors.
  let build:
    @Sendable (
      _ weights: BaseWeights, _ configuration: DecoderConfiguration, _ arithmetic: Arithmetic
    ) throws(ModelError) -> DecoderParts

  /// The families that can be read.
  static let all: [DecoderFamily] = [.llama, .mistral, .qwen2, .qwen3, .gpt2]

  /// The family of that `model_type`; nil where there is none.
  static func named(_ modelType: String) -> DecoderFamily? {
    all.first { $0.modelType.rawValue == modelType }
  }
}

/// The paths of a family's modules in transformers.
public struct ModuleNames: Sendable, Hashable {
  /// The blocks' list, for example `model.layers`; a block's number follows.
  public let blocks: String
  /// Attention inside a block.
  public let attention: String
  /// Feed-forward inside a block.
  public let feedForward: String
  /// The token embeddings.
  public let embedding: String
}
