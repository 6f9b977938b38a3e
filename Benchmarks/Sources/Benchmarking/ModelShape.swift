/// The sizes of a decoder, without its weights; its projections are Llama's.
package struct ModelShape: Sendable, Hashable {
  package let name: String
  package let blockCount: Int
  /// Features of a token, H.
  package let hiddenSize: Int
  /// Features inside the feed-forward, F.
  package let intermediateSize: Int
  /// Query heads, N.
  package let headCount: Int
  /// Key/value heads, K.
  package let keyValueHeadCount: Int
  /// Features of a head, D.
  package let headDim: Int
  /// Token ids, V.
  package let vocabularySize: Int
  /// Whether the head is the embedding.
  package let isTied: Bool

  /// SmolLM-135M's.
  package static let smolLM = ModelShape(
    name: "SmolLM-135M", blockCount: 30, hiddenSize: 576, intermediateSize: 1536, headCount: 9,
    keyValueHeadCount: 3, headDim: 64, vocabularySize: 49152, isTied: true)

  /// TinyLlama-1.1B's.
  package static let tinyLlama = ModelShape(
    name: "TinyLlama-1.1B", blockCount: 22, hiddenSize: 2048, intermediateSize: 5632,
    headCount: 32, keyValueHeadCount: 4, headDim: 64, vocabularySize: 32000, isTied: false)

  /// Of a model that runs in no time.
  package static let tiny = ModelShape(
    name: "tiny", blockCount: 3, hiddenSize: 64, intermediateSize: 160, headCount: 4,
    keyValueHeadCount: 2, headDim: 16, vocabularySize: 512, isTied: true)

  /// One frozen linear layer of a block.
  package struct Projection: Sendable, Hashable {
    /// Hugging Face's name within the block.
    package let name: String
    /// Features that go in.
    package let inputSize: Int
    /// Features that come out.
    package let outputSize: Int

    /// Its weights, which is also its multiply-adds for a token.
    package var count: Int { inputSize * outputSize }
  }

  /// The seven linear layers of a block, in the order in which they run.
  package var projections: [Projection] {
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
  package var blockWeightCount: Int { projections.reduce(0) { $0 + $1.count } }
}
