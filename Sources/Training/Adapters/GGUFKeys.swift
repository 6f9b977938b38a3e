import Files
import Foundation
import GGUF
import JSON
import Model
import PEFT

/// The keys of a model in GGUF.
enum GGUFKeys {
  typealias Keys = [(key: String, value: GGUFNewValue)]

  /// `general.file_type` of a type.
  private static let fileTypes = ["F32": 0, "F16": 1, "Q8_0": 7, "BF16": 32]

  /// Keys of a base's model, whose matrices are written in `type`.
  static func of(_ base: Decoder, architecture: String, type: String) throws -> Keys {
    let fileType: Keys = [("general.file_type", .count(fileTypes[type] ?? 0))]
    if GGUFFile.isOne(base.directory) {
      let metadata = try GGUFFiles(path: base.directory).metadata
      let own = metadata.keys.filter {
        $0 != "general.file_type" && $0 != "general.alignment" && !$0.hasPrefix("split.")
      }
      return own.compactMap { key in metadata.copy(key).map { (key, $0) } } + fileType
    }
    return try model(base.configuration, architecture) + fileType
      + tokenizer(base.directory, vocabularySize: base.configuration.vocabularySize)
  }

  // MARK: The model

  private static func model(
    _ c: DecoderConfiguration, _ architecture: String
  ) throws -> Keys {
    func key(_ name: String) -> String { "\(architecture).\(name)" }
    var keys: Keys = [
      ("general.architecture", .string(architecture)), ("general.type", .string("model")),
      ("general.quantization_version", .count(2)),
      (key("block_count"), .count(c.blockCount)),
      (key("context_length"), .count(c.maximumPositions)),
      (key("embedding_length"), .count(c.hiddenSize)),
      (key("feed_forward_length"), .count(c.intermediateSize)),
      (key("attention.head_count"), .count(c.headCount)),
      (key("vocab_size"), .count(c.vocabularySize)),
    ]
    if architecture == "gpt2" {
      return keys + [(key("attention.layer_norm_epsilon"), .number(Float(c.normEpsilon)))]
    }
    keys += [
      (key("attention.head_count_kv"), .count(c.keyValueHeadCount)),
      (key("attention.key_length"), .count(c.headDim)),
      (key("attention.value_length"), .count(c.headDim)),
      (key("attention.layer_norm_rms_epsilon"), .number(Float(c.normEpsilon))),
      (key("rope.dimension_count"), .count(c.headDim)),
    ]
    guard c.activation == .silu else {
      throw PEFTError.cannotExport(format: "GGUF", what: "another activation than silu here")
    }
    if let window = c.windows.first(where: { $0 > 0 }) {
      guard c.windows.allSatisfy({ $0 == window }), architecture == "llama" else {
        throw PEFTError.cannotExport(format: "GGUF", what: "windows of some layers")
      }
      keys.append((key("attention.sliding_window"), .count(window)))
    }
    guard let rotary = c.rotary.first ?? nil else { return keys }
    keys.append((key("rope.freq_base"), .number(Float(rotary.theta))))
    switch rotary.scaling {
    case .none, .llama3: break
    case .linear(let factor):
      keys += [
        (key("rope.scaling.type"), .string("linear")),
        (key("rope.scaling.factor"), .number(Float(factor))),
      ]
    case .yarn(let yarn):
      keys += [
        (key("rope.scaling.type"), .string("yarn")),
        (key("rope.scaling.factor"), .number(Float(yarn.factor))),
        (key("rope.scaling.original_context_length"), .count(yarn.originalPositions)),
      ]
    case .dynamic, .longRoPE:
      throw PEFTError.cannotExport(
        format: "GGUF", what: "positions that stretch with the text (dynamic, longrope)")
    }
    return keys
  }

  // MARK: The tokenizer

  private static func tokenizer(_ directory: String, vocabularySize: Int) throws -> Keys {
    func document(_ name: String) throws -> JSONNode? {
      let path = "\(directory)/\(name)"
      guard FileManager.default.fileExists(atPath: path) else { return nil }
      return try JSONNode(parsing: try InputFile.bytes(of: path))
    }
    guard let tokenizer = try document("tokenizer.json") else { return [] }
    func refuse(_ what: String) -> PEFTError {
      .cannotExport(format: "GGUF", what: "the tokenizer in \(directory): \(what)")
    }
    guard tokenizer["model"]?["type"]?.string ?? "BPE" == "BPE",
      let vocabulary = tokenizer["model"]?["vocab"]?.object,
      let merges = tokenizer["model"]?["merges"]?.array, let pre = rule(tokenizer)
    else {
      throw refuse("it is not byte-level BPE with a rule that llama.cpp has a name for")
    }
    var tokens = [String?](repeating: nil, count: vocabularySize)
    var kinds = [Int](repeating: 5, count: vocabularySize)
    func set(_ token: String, _ id: Int, _ kind: Int) throws(PEFTError) {
      guard id >= 0, id < vocabularySize else {
        throw refuse("token \(id) is beyond the model's \(vocabularySize) rows")
      }
      (tokens[id], kinds[id]) = (token, kind)
    }
    for (token, id) in vocabulary.members { try set(token, id.integer ?? -1, 1) }
    for token in tokenizer["added_tokens"]?.array ?? [] {
      try set(
        token["content"]?.string ?? "", token["id"]?.integer ?? -1,
        token["special"]?.bool == true ? 3 : 4)
    }
    var keys: Keys = [
      ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string(pre)),
      ("tokenizer.ggml.tokens", .strings(tokens.enumerated().map { $1 ?? "[PAD\($0)]" })),
      ("tokenizer.ggml.token_type", .integers(kinds)),
      (
        "tokenizer.ggml.merges",
        .strings(
          merges.map { merge in
            merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
          })
      ),
    ]
    let configuration = try document("config.json")
    for (name, own) in [("bos", "bos"), ("eos", "eos"), ("pad", "padding")] {
      let value = configuration?["\(name)_token_id"]
      if let id = value?.integer ?? value?.array?.first?.integer, id >= 0, id < vocabularySize {
        keys.append(("tokenizer.ggml.\(own)_token_id", .count(id)))
      }
    }
    let processor = tokenizer["post_processor"] ?? .null
    let beginsWithToken = ([processor] + (processor["processors"]?.array ?? []))
      .contains { $0["single"]?.array?.first?["SpecialToken"] != nil }
    keys.append(("tokenizer.ggml.add_bos_token", .bool(beginsWithToken)))
    let settings = try document("tokenizer_config.json")
    let file = directory + "/chat_template.jinja"
    if let template = try? String(contentsOfFile: file, encoding: .utf8) {
      keys.append(("tokenizer.chat_template", .string(template)))
    } else if let template = settings?["chat_template"]?.string {
      keys.append(("tokenizer.chat_template", .string(template)))
    }
    return keys
  }

  /// llama.cpp's name of the rule by which a `tokenizer.json` cuts text; nil where it has none.
  private static func rule(_ tokenizer: JSONNode) -> String? {
    guard let pre = tokenizer["pre_tokenizer"] else { return nil }
    let steps = pre["pretokenizers"]?.array ?? [pre]
    guard steps.last?["type"]?.string == "ByteLevel",
      steps.last?["add_prefix_space"]?.bool != true
    else { return nil }
    if steps.count == 1 { return steps[0]["use_regex"]?.bool == false ? nil : "gpt-2" }
    guard steps.count == 2 else { return nil }
    if steps[0]["type"]?.string == "Digits", steps[0]["individual_digits"]?.bool == true {
      return "smollm"
    }
    let pattern = steps[0]["pattern"]?["Regex"]?.string ?? ""
    guard steps[0]["type"]?.string == "Split", pattern.hasPrefix("(?i:'s|'t|'re|'ve|'m|'ll|'d)|")
    else { return nil }
    let isWhole = tokenizer["model"]?["ignore_merges"]?.bool == true
    if pattern.contains(#"|\p{N}{1,3}|"#) { return isWhole ? "llama-bpe" : "dbrx" }
    return pattern.contains(#"|\p{N}|"#) ? "qwen2" : nil
  }
}
