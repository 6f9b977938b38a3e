import Kernels
import Tensors

extension Decoder {
  /// The tensors of `GPT2LMHeadModel`, by transformers' names.
  static func gpt2Parts(
    _ weights: BaseWeights, _ c: DecoderConfiguration, _ arithmetic: Arithmetic
  ) throws(ModelError) -> DecoderParts {
    let h = c.hiddenSize
    let embedding = try weights.embedding(c.names.embedding + ".weight", c)
    let positions = try weights.matrix(
      "transformer.wpe.weight", outputSize: c.maximumPositions, inputSize: h)
    var builder = LayerBuilder(weights, c, arithmetic)
    var blocks: [DecoderBlock] = []
    for index in 0..<c.blockCount { blocks.append(try gpt2Block(index, &builder, c)) }
    let finalNorm = try builder.norm("transformer.ln_f", size: h, bias: true)
    let head = builder.head(try weights.head(embedding, c))
    // Older versions of transformers saved the causal masks along with the weights.
    try weights.finish(ignoring: [".attn.bias", ".attn.masked_bias"])
    return DecoderParts(
      source: weights.source, parameters: weights.parameters, embedding: embedding,
      positions: positions, blocks: blocks,
      finalNorm: finalNorm, head: head)
  }

  /// A block of GPT-2.
  ///
  ///     h = x + c_proj(attention(c_attn(ln_1(x))))
  ///     y = h + c_proj(gelu(c_fc(ln_2(h))))
  ///
  /// (Radford et al. 2019.) Projections are transformers' `Conv1D`: stored [in, out], with biases.
  private static func gpt2Block(
    _ index: Int, _ builder: inout LayerBuilder, _ c: DecoderConfiguration
  ) throws(ModelError) -> DecoderBlock {
    let path = "\(c.names.blocks).\(index)"
    let (h, f) = (c.hiddenSize, c.intermediateSize)
    let first = try builder.norm("\(path).ln_1", size: h, bias: true)
    let second = try builder.norm("\(path).ln_2", size: h, bias: true)
    func linear(_ name: String, from inputSize: Int, to outputSize: Int) throws(ModelError)
      -> LinearLayer
    {
      try builder.linear(
        "\(path).\(name)", block: index, from: inputSize, to: outputSize, bias: true,
        layout: .inputMajor)
    }
    let fused = try linear("attn.c_attn", from: h, to: 3 * h)
    let output = try linear("attn.c_proj", from: h, to: h)
    let expand = try linear("mlp.c_fc", from: h, to: f)
    let contract = try linear("mlp.c_proj", from: f, to: h)
    return DecoderBlock(
      attentionNorm: first,
      attention: AttentionBody(
        source: FusedQueryKeyValue(
          fused, querySize: c.querySize, keyValueSize: c.keyValueSize),
        core: builder.core(block: index), output: output, gatedPlacement: .afterOutput),
      feedForwardNorm: second,
      feedForward: PlainFeedForward(
        expand: expand, contract: contract, activation: c.activation))
  }
}
