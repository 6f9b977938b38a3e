/// The sizes of a decoder, without its weights; its projections are Llama's.
public struct ModelShape: Sendable, Hashable {
  /// What it is called.
  public let name: String
  /// Blocks.
  public let blockCount: Int
  /// Features of a token, H.
  public let hiddenSize: Int
  /// Features inside the feed-forward, F.
  public let intermediateSize: Int
  /// Query heads, N.
  public let headCount: Int
  /// Key/value heads, K.
  public let keyValueHeadCount: Int
  /// Features of a head, D.
  public let headDim: Int
  /// Token ids, V.
  public let vocabularySize: Int
  /// Whether the head is the embedding.
  public let isTied: Bool

  /// SmolLM-135M's.
  public static let smolLM = ModelShape(
    name: "SmolLM-135M", blockCount: 30, hiddenSize: 576, intermediateSize: 1536, headCount: 9,
    keyValueHeadCount: 3, headDim: 64, vocabularySize: 49152, isTied: true)

  /// TinyLlama-1.1B's.
  public static let tinyLlama = ModelShape(
    name: "TinyLlama-1.1B", blockCount: 22, hiddenSize: 2048, intermediateSize: 5632,
    headCount: 32, keyValueHeadCount: 4, headDim: 64, vocabularySize: 32000, isTied: false)

  /// Of a model that runs in no time.
  public static let tiny = ModelShape(
    name: "tiny", blockCount: 3, hiddenSize: 64, intermediateSize: 160, headCount: 4,
    keyValueHeadCount: 2, headDim: 16, vocabularySize: 512, isTied: true)

  /// One frozen linear layer of a block.
  public struct Projection: Sendable, Hashable {
    /// Hugging Face's name within the block.
    public let name: String
    /// Features that go in.
    public let inputSize: Int
    /// Features that come out.
    public let outputSize: Int

    /// Its weights, which is also its multiply-adds for a token.
    public var count: Int { inputSize * outputSize }
  }

  /// The seven linear layers of a block, in the order in which they run.
  public var projections: [Projection] {
    let (queries, keys) = (headCount * headDim, keyValueHeadCount * headDim)
    return [
      Projection(name: "self_attn.q_proj", inputSize: hiddenSize, outputSize: queries),
      Projection(name: "self_attn.k_proj", inputSize: hiddenSize, outputSize: keys),
      Projection(name: "self_attn.v_proj", inputSize: hiddenSize, outputSize: keys),
      Projection(name: "self_attn.o_proj", inputSize: queries, outputSize: hiddenSize),
      Projection(name: "mlp.gate_proj", inputSize: hiddenSize, outputSize: intermediateSize),
      Projection(name: "mlp.up_proj", inputSize: hiddenSize, outputSize: intermediateSize),
      Projection(name: "mlp.down_proj", inputSize: intermediateSize, outputSize: hiddenSize),
    ]
  }

  /// Weights of the linear layers of one block.
  public var blockWeightCount: Int { projections.reduce(0) { $0 + $1.count } }
}
