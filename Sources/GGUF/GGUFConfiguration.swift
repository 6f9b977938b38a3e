import Foundation
import JSON
import Tensors

/// A model's configuration out of a file's metadata, in the words of Hugging Face's `config.json`.
struct GGUFConfiguration {
  /// The configuration.
  let value: JSONValue

  private let files: GGUFFiles
  private let metadata: GGUFMetadata
  private let architecture: String

  init(_ files: GGUFFiles, _ architecture: String) throws(GGUFError) {
    let empty = GGUFConfiguration(files, architecture, .null)
    let members = architecture == "gpt2" ? try Self.gpt2(empty) : try Self.llama(empty)
    self.init(files, architecture, .object(members))
  }

  private init(_ files: GGUFFiles, _ architecture: String, _ value: JSONValue) {
    self.files = files
    self.architecture = architecture
    metadata = files.metadata
    self.value = value
  }

  // MARK: Families

  private static func gpt2(_ file: Self) throws(GGUFError) -> [String: JSONValue] {
    var members = try file.common()
    members["model_type"] = "gpt2"
    members["architectures"] = ["GPT2LMHeadModel"]
    members["n_embd"] = .int(try file.count("embedding_length"))
    members["n_layer"] = .int(try file.count("block_count"))
    members["n_head"] = .int(try file.count("attention.head_count"))
    members["n_positions"] = .int(try file.count("context_length"))
    members["n_inner"] = .int(try file.count("feed_forward_length"))
    members["layer_norm_epsilon"] = .double(try file.number("attention.layer_norm_epsilon"))
    return members
  }

  private static func llama(_ file: Self) throws(GGUFError) -> [String: JSONValue] {
    var members = try file.common()
    let kinds = [
      "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    ]
    let heads = try file.count("attention.head_count")
    let hidden = try file.count("embedding_length")
    let positions = try file.count("context_length")
    let headDim = try file.headDim(hidden: hidden, heads: heads)
    members["model_type"] = .string(file.architecture)
    members["architectures"] = [.string(kinds[file.architecture] ?? "")]
    members["hidden_size"] = .int(hidden)
    members["intermediate_size"] = .int(try file.count("feed_forward_length"))
    members["num_hidden_layers"] = .int(try file.count("block_count"))
    members["num_attention_heads"] = .int(heads)
    members["num_key_value_heads"] = .int(
      try file.metadata.count(file.key("attention.head_count_kv")) ?? heads)
    members["head_dim"] = .int(headDim)
    members["max_position_embeddings"] = .int(positions)
    members["rms_norm_eps"] = .double(try file.number("attention.layer_norm_rms_epsilon"))
    members["hidden_act"] = "silu"
    members["rope_theta"] = .double(try file.metadata.number(file.key("rope.freq_base")) ?? 10_000)
    if let scaling = try file.scaling(headDim: headDim, positions: positions) {
      members["rope_scaling"] = scaling
    }
    try file.addOptions(&members, positions: positions)
    return members
  }

  /// Biases and windows.
  private func addOptions(
    _ members: inout [String: JSONValue], positions: Int
  ) throws(GGUFError) {
    let window = try metadata.count(key("attention.sliding_window")) ?? 0
    if architecture == "llama" {
      if files.tensor(named: "blk.0.attn_q.bias") != nil { members["attention_bias"] = true }
      if files.tensor(named: "blk.0.ffn_up.bias") != nil { members["mlp_bias"] = true }
      if window > 0, window < positions {
        // What llama.cpp calls llama, with a window, is Mistral's.
        members["model_type"] = "mistral"
        members["architectures"] = ["MistralForCausalLM"]
        members["sliding_window"] = .int(window)
      }
    } else if window > 0, window < positions {
      throw .unsupported(
        path: files.path, what: "'\(key("attention.sliding_window"))' is \(window)",
        remedy: "Which of the layers have the window is not in the file; give the model's "
          + "Hugging Face directory.")
    }
    if let experts = try metadata.count(key("expert_count")), experts > 0 {
      throw .unsupported(
        path: files.path, what: "'\(key("expert_count"))' is \(experts)",
        remedy: "Mixtures of experts are not read.")
    }
  }

  private func common() throws(GGUFError) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    let tokens = try metadata.tokenCount()
    guard let table = files.tensor(named: "token_embd.weight"), table.shape.count == 2 else {
      throw .unsupported(
        path: files.path, what: "tensor 'token_embd.weight' is missing or no table",
        remedy: "Convert the model again, or fetch all of its parts.")
    }
    let size = try metadata.count(key("vocab_size")) ?? tokens ?? table.shape[0]
    guard size == table.shape[0] else {
      throw .badKey(
        path: files.path, key: tokens == size ? "tokenizer.ggml.tokens" : key("vocab_size"),
        found: "\(size) tokens", expected: "\(table.shape[0]), the rows of 'token_embd.weight'")
    }
    members["vocab_size"] = .int(size)
    members["tie_word_embeddings"] = .bool(files.tensor(named: "output.weight") == nil)
    for (name, own) in [
      ("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding"),
    ] {
      if let id = try metadata.count("tokenizer.ggml.\(own)_token_id") { members[name] = .int(id) }
    }
    members["dtype"] = .string(storedType)
    return members
  }

  /// The type of numbers that Hugging Face's model would have: the file's, or what its blocks stand
  /// for.
  private var storedType: String {
    let types = Set(files.tensors.filter { $0.shape.count == 2 }.map(\.type.name))
    return types == ["F32"]
      ? "float32" : types.isSubset(of: ["F16", "F32"]) ? "float16" : "bfloat16"
  }

  private func headDim(hidden: Int, heads: Int) throws(GGUFError) -> Int {
    guard heads > 0 else {
      throw .badKey(
        path: files.path, key: key("attention.head_count"), found: "0",
        expected: "a number "
          + "above 0")
    }
    let size = try metadata.count(key("attention.key_length")) ?? hidden / heads
    for (name, value) in [
      ("attention.value_length", try metadata.count(key("attention.value_length"))),
      ("rope.dimension_count", try metadata.count(key("rope.dimension_count"))),
    ] {
      if let value, value != size {
        throw .unsupported(
          path: files.path, what: "'\(key(name))' is \(value), and heads have \(size) features",
          remedy: "Heads whose keys and values differ, or turn in part, are not computed.")
      }
    }
    return size
  }

  // MARK: Positions

  private func scaling(headDim: Int, positions: Int) throws(GGUFError) -> JSONValue? {
    let type = try metadata.string(key("rope.scaling.type")) ?? "none"
    let factor = try metadata.number(key("rope.scaling.factor"))
    let original = try metadata.count(key("rope.scaling.original_context_length"))
    if let tensor = files.tensor(named: "rope_freqs.weight") {
      guard type == "none" || type == "llama3" || (type == "linear" && factor ?? 1 == 1) else {
        throw .unsupported(
          path: files.path,
          what: "'rope_freqs.weight' stands beside "
            + "'\(key("rope.scaling.type"))' = \(type)",
          remedy: "Give the model's Hugging Face directory.")
      }
      return try llama3(tensor, headDim: headDim, original: original)
    }
    switch type {
    case "none": return nil
    case "linear":
      guard let factor, factor != 1 else { return nil }
      return ["rope_type": "linear", "factor": .double(factor)]
    case "yarn":
      guard let factor, let original else {
        throw .badKey(
          path: files.path, key: key("rope.scaling.factor"), found: "missing",
          expected: "YaRN's factor, and original_context_length beside it")
      }
      var members: [String: JSONValue] = [
        "rope_type": "yarn", "factor": .double(factor),
        "original_max_position_embeddings": .int(original),
      ]
      if let attention = try metadata.number(key("rope.scaling.attn_factor")), attention != 1 {
        throw .unsupported(
          path: files.path, what: "'\(key("rope.scaling.attn_factor"))' is \(attention)",
          remedy: "Give the model's Hugging Face directory.")
      }
      for (name, own) in [("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")] {
        if let value = try metadata.number(key("rope.scaling.\(own)")) {
          members[name] = .double(value)
        }
      }
      return .object(members)
    default:
      throw .unsupported(
        path: files.path, what: "'\(key("rope.scaling.type"))' is '\(type)'",
        remedy: "Scalings that are read: none, linear, yarn, and Llama 3's by rope_freqs.weight.")
    }
  }

  /// Llama 3's stretching out of the factors that the converter made of it.
  ///
  /// The configuration is not in the file, only each frequency's divisor. Every model with them has
  /// low and high factors of 1 and 4; what is found is checked against all divisors.
  private func llama3(
    _ tensor: GGUFTensor, headDim: Int, original: Int?
  ) throws(GGUFError) -> JSONValue? {
    let theta = try metadata.number(key("rope.freq_base")) ?? 10_000
    guard tensor.type.name == "F32", tensor.shape == [headDim / 2] else {
      throw .unsupported(
        path: files.path, what: "'rope_freqs.weight' is \(tensor.type.name) \(tensor.shape)",
        remedy: "Expected are \(headDim / 2) numbers in F32.")
    }
    var divisors = [Float](repeating: 0, count: headDim / 2)
    let weight = try tensor.weight()
    // As many floats as the shape says.
    unsafe divisors.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { unsafe weight.read(row: 0, into: base) }
    }
    if divisors.allSatisfy({ $0 == 1 }) { return nil }
    let factor = Double(divisors.max() ?? 1)
    for positions in Set([original ?? 8192, 8192]) {
      let agrees = divisors.enumerated().allSatisfy { pair, divisor in
        let frequency = PortableMath.pow(theta, -2 * Double(pair) / Double(headDim))
        let wavelength = 2 * Double.pi / frequency
        var expected = 1.0
        if wavelength > Double(positions) {
          expected = factor
        } else if wavelength >= Double(positions) / 4 {
          let smooth = (Double(positions) / wavelength - 1) / 3
          expected = 1 / ((1 - smooth) / factor + smooth)
        }
        return abs(Double(divisor) - expected) <= 1e-4 * expected
      }
      if agrees {
        return [
          "rope_type": "llama3", "factor": .double(factor), "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": .int(positions),
        ]
      }
    }
    throw .unsupported(
      path: files.path, what: "the divisors of 'rope_freqs.weight' are not those of Llama 3",
      remedy: "Give the model's Hugging Face directory.")
  }

  // MARK: Keys

  private func key(_ name: String) -> String { "\(architecture).\(name)" }

  private func count(_ name: String) throws(GGUFError) -> Int {
    guard let value = try metadata.count(key(name)) else { throw missing(name) }
    return value
  }

  private func number(_ name: String) throws(GGUFError) -> Double {
    guard let value = try metadata.number(key(name)) else { throw missing(name) }
    return value
  }

  private func missing(_ name: String) -> GGUFError {
    .badKey(path: files.path, key: key(name), found: "missing", expected: "a number")
  }
}
