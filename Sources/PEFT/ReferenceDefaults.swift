import Model

/// What Hugging Face PEFT 0.21.2 and AdapterHub's adapters 1.3.0 know of a `model_type`: a row of the
/// table below.
///
/// The suffixes are those of PEFT's `utils/constants.py`. Where a reference has no default, a method
/// asks for the names; a `model_type` that neither knows needs no row.
struct ReferenceDefaults: Sendable {
  /// `target_modules` of LoRA, and of MiSS, whose table is a copy.
  var lora: [String]?
  /// `target_modules` of AdaLoRA.
  var adalora: [String]?
  /// `target_modules` of (IA)³.
  var ia3: [String]?
  /// `feedforward_modules` of (IA)³.
  var ia3FeedForward: [String]?
  /// Whether PEFT has an adaption prompt.
  var hasAdaptionPrompt = false
  /// The model's class in AdapterHub's files; nil where AdapterHub does not know it.
  var adapterHubClass: String?

  /// PEFT's defaults of most families.
  private static let common = ReferenceDefaults(
    lora: ["q_proj", "v_proj"], adalora: ["q_proj", "v_proj"],
    ia3: ["q_proj", "v_proj", "down_proj"], ia3FeedForward: ["down_proj"])

  private static func common(
    _ change: (inout ReferenceDefaults) -> Void
  ) -> ReferenceDefaults {
    var row = common
    change(&row)
    return row
  }

  /// On Qwen and Gemma (IA)³ adapts q and v, where the paper has k and v.
  private static let table: [String: ReferenceDefaults] = [
    "llama": common {
      $0.ia3 = ["k_proj", "v_proj", "down_proj"]
      $0.hasAdaptionPrompt = true
      $0.adapterHubClass = "LlamaForCausalLM"
    },
    "mistral": common {
      $0.adalora = nil
      $0.ia3 = ["k_proj", "v_proj", "down_proj"]
      $0.hasAdaptionPrompt = true
      $0.adapterHubClass = "MistralForCausalLM"
    },
    "qwen2": common, "qwen3": common, "gemma2": common, "gemma3_text": common,
    "gpt2": ReferenceDefaults(
      lora: ["c_attn"], adalora: ["c_attn"], ia3: ["c_attn", "mlp.c_proj"],
      ia3FeedForward: ["mlp.c_proj"], hasAdaptionPrompt: true,
      adapterHubClass: "GPT2LMHeadModel"),
    "gpt_neox": ReferenceDefaults(
      lora: ["query_key_value"], adalora: ["query_key_value"],
      ia3: ["query_key_value", "dense_4h_to_h"], ia3FeedForward: ["dense_4h_to_h"]),
    "stablelm": ReferenceDefaults(lora: ["q_proj", "v_proj"]),
  ]

  /// The row of a base's `model_type`; nothing where neither reference knows it.
  static func of(_ base: DecoderConfiguration) -> ReferenceDefaults {
    table[base.modelType] ?? ReferenceDefaults()
  }
}
