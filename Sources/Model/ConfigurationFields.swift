import JSON
import Kernels

/// Reads a configuration field by field and remembers which were read.
final class ConfigurationFields {
  let path: String
  private let members: [String: JSONValue]
  private var read: Set<String> = []
  private var unreadMembers: [String] = []

  /// Fields that say where a model comes from or how text is made of it, not what it computes; and
  /// dropouts, which this program does not apply to the frozen base.
  private static let inert: Set<String> = [
    "_name_or_path", "architectures", "attention_dropout", "attn_pdrop", "auto_map",
    "bos_token_id", "cache_implementation", "classifier_dropout", "dtype", "embd_pdrop",
    "embedding_dropout", "finetuning_task", "hidden_dropout", "id2label",
    "initializer_range", "is_llama_config", "keys_to_ignore_at_inference", "label2id",
    "max_window_layers", "model_type", "n_ctx", "num_labels", "output_attentions",
    "output_hidden_states", "pad_token_id", "problem_type", "pruned_heads", "resid_pdrop",
    "residual_dropout",
    "return_dict", "rope_interleaved", "sep_token_id", "summary_activation",
    "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "task_specific_params", "tokenizer_class", "torch_dtype", "transformers_version", "use_cache",
    "reorder_and_upcast_attn", "gradient_checkpointing", "transformers.js_config",
  ]

  /// - Parameter aliases: other names of fields, which win over their own as in transformers.
  init(_ value: JSONValue, path: String, aliases: [String: String] = [:]) {
    self.path = path
    var members = value.object ?? [:]
    for (alias, name) in aliases {
      if let value = members.removeValue(forKey: alias) { members[name] = value }
    }
    self.members = members
  }

  /// Fields that nobody asked for, that are not inert and not empty.
  var unread: [String] {
    let fields = members.filter {
      !read.contains($0.key) && !Self.inert.contains($0.key) && !$0.value.isEmpty
    }
    return (fields.keys + unreadMembers).sorted()
  }

  /// Reports members of a field's object as unread.
  func report(members names: [String], of field: String) {
    unreadMembers += names.map { "\(field).\($0)" }
  }

  /// A field's value; nil when absent or null.
  func value(_ name: String) -> JSONValue? {
    read.insert(name)
    guard let value = members[name], !value.isNull else { return nil }
    return value
  }

  /// Whether a field is there, if only as null.
  func has(_ name: String) -> Bool { members[name] != nil }

  func string(_ name: String) throws(ModelError) -> String {
    guard let value = value(name) else { throw .missingField(name: name, path: path) }
    guard let text = value.string else { throw wrong(name, value, "a string") }
    return text
  }

  /// A whole number.
  func int(_ name: String, default standard: Int) throws(ModelError) -> Int {
    let value = try field(name, "a whole number", \.int) ?? standard
    // Products of two must not overflow.
    guard (-1 << 30...1 << 30).contains(value) else {
      throw wrong(name, .int(value), "a whole number up to 2^30")
    }
    return value
  }

  /// A number of blocks, for each of which there is something in memory before a tensor is looked
  /// for.
  func blockCount(_ name: String, default standard: Int) throws(ModelError) -> Int {
    let count = try int(name, default: standard)
    guard count <= 1 << 16 else { throw wrong(name, .int(count), "a number of blocks up to 65536") }
    return count
  }

  /// A whole number, or null, which is a value of its own: transformers has the field as optional.
  func int(_ name: String, default standard: Int?, null: Int?) throws(ModelError) -> Int? {
    if members[name]?.isNull ?? false {
      read.insert(name)
      return null
    }
    guard let value = try field(name, "a whole number or null", \.int) else { return standard }
    return try int(name, default: value)
  }

  func double(_ name: String, default standard: Double) throws(ModelError) -> Double {
    try field(name, "a number", \.double) ?? standard
  }

  func bool(_ name: String, default standard: Bool) throws(ModelError) -> Bool {
    try field(name, "true or false", \.bool) ?? standard
  }

  /// A field's value; nil where it is absent.
  ///
  /// Null is an error, as it is to transformers.
  private func field<Value>(
    _ name: String, _ expected: String, _ read: (JSONValue) -> Value?
  ) throws(ModelError) -> Value? {
    self.read.insert(name)
    guard let value = members[name] else { return nil }
    guard let result = read(value) else { throw wrong(name, value, expected) }
    return result
  }

  /// Refuses every value of a field but the ones that mean "not used".
  func refuse(_ name: String, unless allowed: [JSONValue] = [], expected: String = "null")
    throws(ModelError)
  {
    guard let value = value(name) else { return }
    if value.isEmpty || allowed.contains(value) { return }
    throw wrong(name, value, expected)
  }

  /// Whether the weights are quantised by bitsandbytes, by `quantization_config`.
  ///
  /// - Throws: `unsupportedQuantization` where by anything else.
  func isQuantizedByBitsAndBytes() throws(ModelError) -> Bool {
    guard let value = value("quantization_config"), !value.isEmpty else { return false }
    let isLoadedSo = ["load_in_4bit", "_load_in_4bit", "load_in_8bit", "_load_in_8bit"]
      .contains { value[$0] == true }
    let method =
      value["quant_method"]?.string ?? (isLoadedSo ? "bitsandbytes" : "an unknown method")
    guard method == "bitsandbytes" else {
      throw .unsupportedQuantization(method: method, path: path)
    }
    return true
  }

  /// A function by its name in transformers' `ACT2FN`.
  func activation(_ name: String, default standard: String) throws(ModelError)
    -> ActivationFunction
  {
    let text = try field(name, "a name", \.string) ?? standard
    switch text {
    case "silu", "swish": return .silu
    case "gelu", "gelu_python": return .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate":
      return .geluTanh
    case "quick_gelu": return .quickGELU
    case "relu": return .relu
    case "relu2": return .reluSquared
    case "tanh": return .tanh
    default:
      throw wrong(
        name, .string(text),
        "silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, quick_gelu, relu, relu2, tanh")
    }
  }

  /// `eos_token_id`: a number, a list or null.
  func endTokens(default standard: [Int]) throws(ModelError) -> [Int] {
    guard has("eos_token_id") else { return standard }
    guard let value = value("eos_token_id") else { return [] }
    let ids = value.array?.map(\.int) ?? [value.int]
    let known = ids.compactMap(\.self)
    guard known.count == ids.count else {
      throw wrong("eos_token_id", value, "a token id, a list of them, or null")
    }
    return known
  }

  func wrong(_ name: String, _ value: JSONValue, _ expected: String) -> ModelError {
    .unsupportedField(name: name, value: value.text(), expected: expected, path: path)
  }
}
