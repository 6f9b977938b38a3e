import JSON
import Kernels

/// Reads a configuration field by field and remembers which were read.
final class ConfigurationFields {
  let path: String
  private let members: [String: JSONValue]
  private var read: Set<String> = []

  /// Fields that say where a model comes from or how text is made of it, not what it computes; and
  /// dropouts, which this program does not apply to the frozen base.
  private static let inert: Set<String> = [
    "_name_or_path", "architectures", "attention_dropout", "attn_pdrop", "auto_map",
    "bos_token_id", "cache_implementation", "dtype", "embd_pdrop", "finetuning_task", "id2label",
    "initializer_range", "is_llama_config", "keys_to_ignore_at_inference", "label2id",
    "max_window_layers", "model_type", "n_ctx", "num_labels", "output_attentions",
    "output_hidden_states", "pad_token_id", "problem_type", "pruned_heads", "resid_pdrop",
    "return_dict", "rope_interleaved", "sep_token_id", "summary_activation",
    "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "task_specific_params", "tokenizer_class", "torch_dtype", "transformers_version", "use_cache",
    "reorder_and_upcast_attn", "gradient_checkpointing", "transformers.js_config",
  ]

  init(_ value: JSONValue, path: String) {
    self.path = path
    members = value.object ?? [:]
  }

  /// Fields that nobody asked for, that are not inert and not empty.
  var unread: [String] {
    members.filter { !read.contains($0.key) && !Self.inert.contains($0.key) && !$0.value.isEmpty }
      .keys.sorted()
  }

  /// A field's value; nil when absent or null.
  func value(_ name: String) -> JSONValue? {
    read.insert(name)
    guard let value = members[name], !value.isNull else { return nil }
    return value
  }

  func string(_ name: String) throws(ModelError) -> String {
    guard let value = value(name) else { throw .missingField(name: name, path: path) }
    guard let text = value.string else { throw wrong(name, value, "a string") }
    return text
  }

  func int(_ name: String) throws(ModelError) -> Int {
    guard let value = value(name) else { throw .missingField(name: name, path: path) }
    guard let number = value.int else { throw wrong(name, value, "a whole number") }
    return number
  }

  func int(_ name: String, default fallback: Int) throws(ModelError) -> Int {
    guard let value = value(name) else { return fallback }
    guard let number = value.int else { throw wrong(name, value, "a whole number") }
    return number
  }

  func double(_ name: String, default fallback: Double) throws(ModelError) -> Double {
    guard let value = value(name) else { return fallback }
    guard let number = value.double else { throw wrong(name, value, "a number") }
    return number
  }

  func bool(_ name: String, default fallback: Bool) throws(ModelError) -> Bool {
    guard let value = value(name) else { return fallback }
    guard let truth = value.bool else { throw wrong(name, value, "true or false") }
    return truth
  }

  /// Refuses every value of a field but the ones that mean "not used".
  func refuse(_ name: String, unless allowed: [JSONValue] = [], expected: String = "null")
    throws(ModelError)
  {
    guard let value = value(name) else { return }
    if value.isEmpty || allowed.contains(value) { return }
    throw wrong(name, value, expected)
  }

  func activation(_ name: String, default fallback: String) throws(ModelError)
    -> ActivationFunction
  {
    let text = value(name)?.string ?? fallback
    switch text {
    case "silu", "swish": return .silu
    case "gelu": return .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .geluTanh
    case "relu": return .relu
    case "tanh": return .tanh
    default:
      throw wrong(name, .string(text), "silu, gelu, gelu_new, gelu_pytorch_tanh, relu, tanh")
    }
  }

  /// `eos_token_id`: a number or a list.
  func endTokens() -> [Int] {
    guard let value = value("eos_token_id") else { return [] }
    return value.array?.compactMap(\.int) ?? value.int.map { [$0] } ?? []
  }

  func wrong(_ name: String, _ value: JSONValue, _ expected: String) -> ModelError {
    .unsupportedField(name: name, value: value.text(), expected: expected, path: path)
  }
}
