import JSON
import Model

/// The fields that PEFT's three prompt methods share (`PromptLearningConfig`).
struct VirtualTokenFields {
  /// `num_virtual_tokens`; 20 where it is not given, as in most of PEFT's examples.
  let count: Int
  private let tokenDim: Int?
  private let layerCount: Int?
  private let source: String

  /// Reads them; what PEFT fills in from the base is checked later, against the base.
  init(_ options: MethodOptions) throws(PEFTError) {
    source = options.source
    count = try options.int("num_virtual_tokens")
    tokenDim = try Self.optional("token_dim", options)
    layerCount = try Self.optional("num_layers", options)
    // Filled in by PEFT and used nowhere else here.
    options.ignore("num_attention_heads")
    if let value = options.value("num_transformer_submodules"), value.int != 1 {
      throw options.wrong("num_transformer_submodules", value, "1 (a decoder alone)")
    }
    try options.refuse("modules_to_save")
  }

  /// Checks `token_dim` and `num_layers` against the base.
  ///
  /// - Parameter width: features of a row: hidden size, or those of keys for prefix tuning.
  func check(_ decoder: DecoderConfiguration, width: Int) throws(PEFTError) {
    for (name, found, expected) in [
      ("token_dim", tokenDim, width), ("num_layers", layerCount, decoder.blockCount),
    ] {
      if let found, found != expected {
        throw .unsupportedField(
          name: name, value: "\(found)", expected: "\(expected), as in this base", source: source)
      }
    }
  }

  /// The fields for `adapter_config.json`, with those of every configuration.
  func json(
    peftType: String, baseName: String, decoder: DecoderConfiguration, width: Int, headCount: Int
  ) -> [String: JSONValue] {
    [
      "auto_mapping": nil, "base_model_name_or_path": .string(baseName), "inference_mode": true,
      "modules_to_save": nil, "num_attention_heads": .int(headCount),
      "num_layers": .int(decoder.blockCount), "num_transformer_submodules": 1,
      "num_virtual_tokens": .int(count), "peft_type": .string(peftType),
      "peft_version": .string(peftVersion), "revision": nil, "task_type": "CAUSAL_LM",
      "token_dim": .int(width),
    ]
  }

  private static func optional(_ name: String, _ options: MethodOptions) throws(PEFTError) -> Int? {
    guard options.value(name) != nil else { return nil }
    return try options.int(name, default: 1)
  }
}

/// The name of the prompt in PEFT's files, with every prompt method.
let promptEmbeddings = "prompt_embeddings"
