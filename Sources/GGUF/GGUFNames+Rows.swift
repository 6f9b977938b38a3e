extension GGUFNames {
  /// The architecture that Hugging Face's `model_type` is converted to; nil where none is known.
  package static func architecture(ofModelType type: String) -> String? {
    ["llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2"][type]
  }

  /// Whether the converter stores the halves of each head's rows by turns, in a tensor of GGUF's name.
  package static func isInterleaved(_ name: String, architecture: String) -> Bool {
    architecture == "llama" && (name.contains(".attn_q.") || name.contains(".attn_k."))
  }

  /// The row of Hugging Face's tensor that is row `row` of GGUF's.
  ///
  /// - Parameter row: a row of GGUF's tensor, from 0.
  /// - Parameter head: rows of a head whose halves lie by turns; 0 for none.
  package static func huggingFaceRow(_ row: Int, head: Int) -> Int {
    guard head > 0 else { return row }
    let inside = row % head
    return row - inside + (inside % 2 == 0 ? inside / 2 : head / 2 + inside / 2)
  }
}
