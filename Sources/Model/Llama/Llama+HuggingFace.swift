import Kernels
import Tensors

extension Decoder {
  /// The tensors of `LlamaForCausalLM` and its kin, by transformers' names.
  static func llamaParts(
    _ weights: BaseWeights, _ c: DecoderConfiguration, _ arithmetic: Arithmetic
  ) throws(ModelError) -> DecoderParts {
    let embedding = try weights.embedding(c.names.embedding + ".weight", c)
    var builder = LayerBuilder(weights, c, arithmetic)
    var blocks: [DecoderBlock] = []
    for index in 0..<c.blockCount {
      blocks.append(try llamaBlock(index, &builder, c))
    }
    let finalNorm = try builder.norm("model.norm", size: c.hiddenSize)
    let head = builder.head(try weights.head(embedding, c))
    try weights.finish(ignoring: ["rotary_emb.inv_freq"])
    return DecoderParts(
      source: weights.source, parameters: weights.parameters, embedding: embedding, positions: nil,
      blocks: blocks,
      finalNorm: finalNorm, head: head)
  }

  /// A block of Llama, Mistral, Qwen2 or Qwen3.
  ///
  ///     h = x + o_proj(attention(rope(q_norm(q_proj(n))), rope(k_norm(k_proj(n))), v_proj(n)))
  ///     y = h + down_proj(silu(gate_proj(m)) ⊙ up_proj(m))         n = norm(x), m = norm(h)
  ///
  /// (Touvron et al. 2023, arXiv:2302.13971; the norms of queries and keys are Qwen3's.)
  private static func llamaBlock(
    _ index: Int, _ builder: inout LayerBuilder, _ c: DecoderConfiguration
  ) throws(ModelError) -> DecoderBlock {
    let path = "\(c.names.blocks).\(index)"
    let (h, f) = (c.hiddenSize, c.intermediateSize)
    let keyHint = { (found: [Int]) -> String in
      found.count == 2 && found[1] == h && found[0] % c.headDim == 0
        ? "Check num_key_value_heads in config.json (found \(c.keyValueHeadCount); the file fits "
          + "\(found[0] / c.headDim))."
        : "Check head_dim and num_key_value_heads in config.json."
    }
    let (bias, ffBias) = (c.queryKeyValueBias, c.feedForwardBias)
    let inputNorm = try builder.norm("\(path).input_layernorm", size: h)
    let postNorm = try builder.norm("\(path).post_attention_layernorm", size: h)
    // Sites are numbered in this order, and with them the random numbers of dropout.
    let query = try builder.linear(
      "\(path).self_attn.q_proj", block: index, from: h, to: c.querySize, bias: bias)
    let key = try builder.linear(
      "\(path).self_attn.k_proj", block: index, from: h, to: c.keyValueSize, bias: bias,
      hint: keyHint)
    let value = try builder.linear(
      "\(path).self_attn.v_proj", block: index, from: h, to: c.keyValueSize, bias: bias,
      hint: keyHint)
    let output = try builder.linear(
      "\(path).self_attn.o_proj", block: index, from: c.querySize, to: h, bias: c.outputBias)
    let headNorms =
      c.queryKeyNorm
      ? (
        query: try builder.norm("\(path).self_attn.q_norm", size: c.headDim),
        key: try builder.norm("\(path).self_attn.k_norm", size: c.headDim)
      ) : nil
    let gate = try builder.linear(
      "\(path).mlp.gate_proj", block: index, from: h, to: f, bias: ffBias)
    let up = try builder.linear("\(path).mlp.up_proj", block: index, from: h, to: f, bias: ffBias)
    let down = try builder.linear(
      "\(path).mlp.down_proj", block: index, from: f, to: h, bias: ffBias)
    let source = SplitQueryKeyValue(
      query: query, key: key, value: value, headNorms: headNorms, headDim: c.headDim)
    return DecoderBlock(
      attentionNorm: inputNorm,
      attention: AttentionBody(source: source, core: builder.core(block: index), output: output),
      feedForwardNorm: postNorm,
      feedForward: GatedFeedForward(gate: gate, up: up, down: down, activation: c.activation))
  }
}
