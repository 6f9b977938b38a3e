import Kernels
import Tensors

extension Decoder {
  /// The tensors of `LlamaForCausalLM` and its kin, by transformers' names.
  static func llamaParts(
    _ weights: BaseWeights, _ c: DecoderConfiguration, _ arithmetic: Arithmetic
  ) throws(ModelError) -> DecoderParts {
    let embedding = try weights.embedding("model.embed_tokens.weight", c)
    var builder = LayerBuilder(weights, c, arithmetic)
    var blocks: [any DecoderBlock] = []
    for index in 0..<c.blockCount {
      blocks.append(try llamaBlock(index, &builder, c))
    }
    let finalNorm = try builder.norm("model.norm", size: c.hiddenSize)
    let head = try weights.head(embedding, c)
    try weights.finish(ignoring: ["rotary_emb.inv_freq"])
    return DecoderParts(
      files: weights.files, parameters: weights.parameters, embedding: embedding, positions: nil,
      blocks: blocks,
      finalNorm: finalNorm, head: head)
  }

  private static func llamaBlock(
    _ index: Int, _ builder: inout LayerBuilder, _ c: DecoderConfiguration
  ) throws(ModelError) -> LlamaBlock {
    let path = "model.layers.\(index)"
    let (h, f) = (c.hiddenSize, c.intermediateSize)
    let keyHint = { (found: [Int]) -> String in
      found.count == 2 && found[1] == h && found[0] % c.headDim == 0
        ? "Check num_key_value_heads in config.json (found \(c.keyValueHeadCount); the file fits "
          + "\(found[0] / c.headDim))."
        : "Check head_dim and num_key_value_heads in config.json."
    }
    let bias = c.queryKeyValueBias
    let parts = LlamaBlock.Parts(
      inputNorm: try builder.norm("\(path).input_layernorm", size: h),
      postNorm: try builder.norm("\(path).post_attention_layernorm", size: h),
      query: try builder.linear(
        "\(path).self_attn.q_proj", block: index, from: h, to: c.querySize, bias: bias),
      key: try builder.linear(
        "\(path).self_attn.k_proj", block: index, from: h, to: c.keyValueSize, bias: bias,
        hint: keyHint),
      value: try builder.linear(
        "\(path).self_attn.v_proj", block: index, from: h, to: c.keyValueSize, bias: bias,
        hint: keyHint),
      output: try builder.linear(
        "\(path).self_attn.o_proj", block: index, from: c.querySize, to: h, bias: c.outputBias),
      queryNorm: c.queryKeyNorm
        ? try builder.norm("\(path).self_attn.q_norm", size: c.headDim) : nil,
      keyNorm: c.queryKeyNorm
        ? try builder.norm("\(path).self_attn.k_norm", size: c.headDim) : nil,
      gate: try builder.linear(
        "\(path).mlp.gate_proj", block: index, from: h, to: f, bias: c.feedForwardBias),
      up: try builder.linear(
        "\(path).mlp.up_proj", block: index, from: h, to: f, bias: c.feedForwardBias),
      down: try builder.linear(
        "\(path).mlp.down_proj", block: index, from: f, to: h, bias: c.feedForwardBias))
    return LlamaBlock(parts: parts, core: builder.core(block: index), configuration: c)
  }
}
