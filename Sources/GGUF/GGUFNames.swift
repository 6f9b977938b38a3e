/// The names of an architecture's tensors, in GGUF and at Hugging Face (gguf-py's
/// tensor_mapping.py).
package struct GGUFNames: Sendable {
  /// What a name of GGUF stands for.
  enum Meaning {
    case named(String)
    case ignored
    case unknown
  }

  /// The architectures whose files are read.
  package static let architectures = ["llama", "qwen2", "qwen3", "gpt2"]

  /// Outside of the blocks, and in block N, by GGUF's names without `.weight` and `.bias`.
  private let outer: [String: String]
  private let inner: [String: String]
  private let blocks: String
  private let ignored: Set<String>

  /// The names of an architecture; nil where it is not known.
  package static func of(_ architecture: String) -> GGUFNames? {
    switch architecture {
    case "llama", "qwen2", "qwen3": llama
    case "gpt2": gpt2
    default: nil
    }
  }

  private static let llama = GGUFNames(
    outer: [
      "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    ],
    inner: [
      "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
      "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
      "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
      "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
      "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    ], blocks: "model.layers",
    // The factors of positions are read with the configuration; the others are buffers.
    ignored: ["rope_freqs.weight"])

  private static let gpt2 = GGUFNames(
    outer: [
      "token_embd": "transformer.wte", "position_embd": "transformer.wpe",
      "output_norm": "transformer.ln_f", "output": "lm_head",
    ],
    inner: [
      "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
      "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
    ], blocks: "transformer.h", ignored: [])

  /// Buffers of a block.
  private static let ignoredInBlocks: Set<String> = [
    "attn_rot_embd", "attn.masked_bias", "attn_rope_freqs", "attn.bias",
  ]

  func huggingFace(_ name: String) -> Meaning {
    if ignored.contains(name) { return .ignored }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard let kind = parts.last, parts.count >= 2 else { return .unknown }
    if parts[0] == "blk", parts.count >= 4 || parts.count == 3, let block = Int(parts[1]),
      "\(block)" == parts[1]
    {
      let rest = parts[2...].joined(separator: ".")
      let stem = parts[2..<(parts.count - 1)].joined(separator: ".")
      if Self.ignoredInBlocks.contains(rest) || Self.ignoredInBlocks.contains(stem) {
        return .ignored
      }
      guard kind == "weight" || kind == "bias", let own = inner[stem] else { return .unknown }
      return .named("\(blocks).\(block).\(own).\(kind)")
    }
    let stem = parts.dropLast().joined(separator: ".")
    guard kind == "weight" || kind == "bias", let own = outer[stem] else { return .unknown }
    return .named("\(own).\(kind)")
  }

  /// GGUF's name for one of Hugging Face's; nil where it has none.
  package func gguf(_ name: String) -> String? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let (stem, kind) = (name[..<dot], name[dot...])
    if stem.hasPrefix(blocks + ".") {
      let rest = stem.dropFirst(blocks.count + 1)
      guard let end = rest.firstIndex(of: "."), let block = Int(rest[..<end]) else { return nil }
      let own = rest[rest.index(after: end)...]
      return inner.first { $0.value == own }.map { "blk.\(block).\($0.key)\(kind)" }
    }
    return outer.first { $0.value == stem }.map { "\($0.key)\(kind)" }
  }
}
