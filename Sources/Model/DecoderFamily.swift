/// Everything that Model must be told of a `model_type`: one value in the family's folder.
///
/// To add a family is to add its folder and its name in `all`.
struct DecoderFamily: Sendable {
  /// What `config.json` calls it.
  let modelType: String
  /// Other names of its fields that transformers takes too, with their own.
  var aliases: [String: String] = [:]
  /// The paths of its modules.
  var names = ModuleNames()
  /// Reads its fields into a configuration that has its type and names.
  let read:
    @Sendable (_ fields: ConfigurationFields, _ c: inout DecoderConfiguration) throws(ModelError)
      -> Void
  /// Makes a block out of named tensors.
  let block:
    @Sendable (_ builder: inout LayerBuilder, _ index: Int) throws(ModelError) -> DecoderBlock
  /// Whether its projections are stored `[in, out]`, as transformers' `Conv1D` has them.
  var storesInputMajor = false
  /// Endings of buffers that some versions of transformers saved along.
  var savedBuffers = ["rotary_emb.inv_freq"]

  /// The families that can be read.
  static let all: [DecoderFamily] = [
    .llama, .mistral, .qwen2, .qwen3, .gpt2, .smolLM3, .olmo2, .granite, .phi3,
    .gptNeoX, .gemma2, .gemma3, .starcoder2, .stableLM, .qwen3MoE, .arcee,
  ]

  /// The family of that `model_type`; nil where there is none.
  static func named(_ modelType: String) -> DecoderFamily? {
    all.first { $0.modelType == modelType }
  }
}

extension DecoderConfiguration {
  /// Whether the family's projections are stored `[in, out]`.
  var storesInputMajor: Bool { DecoderFamily.named(modelType)?.storesInputMajor ?? false }

  /// Whether a tensor of the base is such a projection.
  ///
  /// - Parameters:
  ///   - name: its name in transformers.
  ///   - shape: its dimensions, in any order.
  package func storesInputMajor(_ name: String, shape: [Int]) -> Bool {
    storesInputMajor && shape.count == 2 && name.hasPrefix(names.blocks + ".")
  }

  /// Every `model_type` that can be read.
  public static var modelTypes: [String] { DecoderFamily.all.map(\.modelType) }
  /// What the families call the module of their token embeddings, without its path.
  public static let tableNames = Set(
    DecoderFamily.all.compactMap { $0.names.embedding.split(separator: ".").last.map(String.init) })
}

/// The paths of a family's modules in transformers; Llama's, which most have.
public struct ModuleNames: Sendable, Hashable {
  /// The blocks' list; a block's number follows.
  public var blocks = "model.layers"
  /// Attention inside a block.
  public var attention = "self_attn"
  /// Feed-forward inside a block.
  public var feedForward = "mlp"
  /// The token embeddings.
  public var embedding = "model.embed_tokens"
  /// The table of learned positions; nil where there is none.
  public var positions: String?
  /// The norm above the blocks.
  public var finalNorm = "model.norm"
  /// What older files call the head, which is `lm_head` now; nil where they call it that too.
  public var savedHead: String?
}
