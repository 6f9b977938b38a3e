import Kernels
import Tensors

extension Decoder {
  /// The tensors of `GPT2LMHeadModel`, by transformers' names.
  static func gpt2Parts(
    _ weights: BaseWeights, _ c: DecoderConfiguration, _ arithmetic: Arithmetic
  ) throws(ModelError) -> DecoderParts {
    let h = c.hiddenSize
    let embedding = try weights.embedding("transformer.wte.weight", c)
    let positions = try weights.matrix(
      "transformer.wpe.weight", outputSize: c.maximumPositions, inputSize: h)
    var builder = LayerBuilder(weights, c, arithmetic)
    var blocks: [any DecoderBlock] = []
    for index in 0..<c.blockCount {
      let path = "transformer.h.\(index)"
      let parts = GPT2Block.Parts(
        first: try builder.norm("\(path).ln_1", size: h, bias: true),
        second: try builder.norm("\(path).ln_2", size: h, bias: true),
        fused: try builder.linear(
          "\(path).attn.c_attn", block: index, from: h, to: 3 * h, bias: true,
          layout: .inputMajor),
        output: try builder.linear(
          "\(path).attn.c_proj", block: index, from: h, to: h, bias: true, layout: .inputMajor),
        expand: try builder.linear(
          "\(path).mlp.c_fc", block: index, from: h, to: c.intermediateSize, bias: true,
          layout: .inputMajor),
        contract: try builder.linear(
          "\(path).mlp.c_proj", block: index, from: c.intermediateSize, to: h, bias: true,
          layout: .inputMajor))
      blocks.append(
        GPT2Block(parts: parts, core: builder.core(block: index), configuration: c))
    }
    let finalNorm = try builder.norm("transformer.ln_f", size: h, bias: true)
    let head = try weights.head(embedding, c)
    // Older versions of transformers saved the causal masks along with the weights.
    try weights.finish(ignoring: [".attn.bias", ".attn.masked_bias"])
    return DecoderParts(
      files: weights.files, parameters: weights.parameters, embedding: embedding,
      positions: positions, blocks: blocks,
      finalNorm: finalNorm, head: head)
  }
}
