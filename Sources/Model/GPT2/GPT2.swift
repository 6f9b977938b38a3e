import JSON

extension DecoderFamily {
  /// GPT-2: LayerNorm, learned positions, fused and transposed projections.
  static let gpt2 = DecoderFamily(
    modelType: "gpt2",
    aliases: [
      "hidden_size": "n_embd", "max_position_embeddings": "n_positions",
      "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
    ],
    names: ModuleNames(
      blocks: "transformer.h", attention: "attn", embedding: "transformer.wte",
      positions: "transformer.wpe", finalNorm: "transformer.ln_f"),
    read: { (fields, c) throws(ModelError) in try c.readGPT2(fields) },
    block: { (builder, index) throws(ModelError) in try gpt2Block(&builder, index) },
    storesInputMajor: true,
    // Older versions of transformers saved the causal masks along with the weights.
    savedBuffers: [".attn.bias", ".attn.masked_bias"])

  /// A block of GPT-2.
  ///
  ///     h = x + c_proj(attention(c_attn(ln_1(x))))
  ///     y = h + c_proj(gelu(c_fc(ln_2(h))))
  ///
  /// (Radford et al. 2019.) Projections are transformers' `Conv1D`: stored [in, out], with biases.
  private static func gpt2Block(
    _ builder: inout LayerBuilder, _ index: Int
  ) throws(ModelError) -> DecoderBlock {
    let (path, c) = (builder.path(index), builder.configuration)
    let (h, f) = (c.hiddenSize, c.intermediateSize)
    let first = try builder.norm("\(path).ln_1")
    let second = try builder.norm("\(path).ln_2")
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
      attention: AttentionBody(
        source: FusedQueryKeyValue(fused, c), core: builder.core(block: index), output: output,
        gatedPlacement: .afterOutput),
      norm: first,
      feedForward: PlainFeedForward(
        expand: expand, contract: contract, activation: c.activation),
      norm: second, c)
  }
}

extension DecoderConfiguration {
  /// Reads the fields of `GPT2Config`; absent ones have the values that transformers 5 gives them.
  fileprivate mutating func readGPT2(_ fields: ConfigurationFields) throws(ModelError) {
    vocabularySize = try fields.int("vocab_size", default: 50_257)
    hiddenSize = try fields.int("n_embd", default: 768)
    blockCount = try fields.blockCount("n_layer", default: 12)
    headCount = try fields.int("n_head", default: 12)
    intermediateSize = try fields.int("n_inner", default: nil, null: nil) ?? 4 * hiddenSize
    keyValueHeadCount = headCount
    guard headCount > 0, hiddenSize % headCount == 0 else {
      throw .inconsistentFields(
        "n_embd \(hiddenSize) is not a multiple of n_head \(headCount)", path: fields.path)
    }
    headDim = hiddenSize / headCount
    maximumPositions = try fields.int("n_positions", default: 1024)
    norm = .layer
    normEpsilon = try fields.double("layer_norm_epsilon", default: 1e-5)
    activation = try fields.activation("activation_function", default: "gelu_new")
    tiesEmbeddings = try fields.bool("tie_word_embeddings", default: true)
    (queryKeyValueBias, outputBias, feedForwardBias) = (true, true, true)
    endTokens = try fields.endTokens(default: [50_256])
    if try fields.bool("add_cross_attention", default: false) {
      throw fields.wrong("add_cross_attention", true, "false")
    }
    // The order of the same operations: nothing that the results depend on.
    _ = try fields.bool("reorder_and_upcast_attn", default: false)
    isQuantizedByBitsAndBytes = try fields.isQuantizedByBitsAndBytes()

    let scales = try fields.bool("scale_attn_weights", default: true)
    let byLayer = try fields.bool("scale_attn_by_inverse_layer_idx", default: false)
    windows = Array(repeating: 0, count: max(blockCount, 0))
    rotary = Array(repeating: nil, count: max(blockCount, 0))
    attentionScales = (0..<max(blockCount, 0)).map { block in
      (scales ? 1 / Double(headDim).squareRoot() : 1) / (byLayer ? Double(block + 1) : 1)
    }
  }
}
