import JSON

/// A method with options that fit the tiny bases: what every test of "all methods" runs over.
///
/// One list, which tests hold against `PEFTMethods.names`: a new method that is not here fails them,
/// and once it is here allocation, determinism, identity, merging and resuming all try it.
package struct MethodCase: Sendable, CustomStringConvertible {
  /// What the case is called.
  package let name: String
  package let method: String
  /// Its options, by Hugging Face name.
  package let options: [String: JSONValue]
  /// Whether the first logits are the base's to the last bit.
  package let startsAtBase: Bool
  /// Whether the adapter folds into the base's weights.
  package let merges: Bool

  package var description: String { name }

  private init(
    _ name: String, method: String? = nil, _ options: [String: JSONValue] = [:],
    startsAtBase: Bool = true, merges: Bool = false
  ) {
    self.name = name
    self.method = method ?? name
    self.options = options
    self.startsAtBase = startsAtBase
    self.merges = merges
  }

  /// At least one case of every method.
  package static let all: [MethodCase] = [
    MethodCase(
      "lora",
      [
        "r": 3, "lora_dropout": 0.1, "target_modules": "all-linear", "loraplus_lr_ratio": 4.0,
      ], merges: true),
    MethodCase(
      "dora", method: "lora", ["r": 3, "use_dora": true, "target_modules": "all-linear"],
      merges: true),
    // The table and the head by themselves, be they one tensor or two, in either family's names.
    MethodCase(
      "lora-embeddings", method: "lora",
      [
        "r": 3, "lora_dropout": 0.1,
        "target_modules": #".*\.(embed_tokens|wte|q_proj|c_attn)|lm_head"#,
      ], merges: true),
    MethodCase(
      "lora-tokens", method: "lora",
      [
        "r": 3, "use_dora": true, "target_modules": "all-linear",
        "trainable_token_indices": [3, 8, 50],
      ], merges: true),
    // Warm-up, pruning and the final phase all happen in 12 steps, pruning on both sides of step 5.
    MethodCase(
      "adalora",
      [
        "init_r": 4, "target_r": 2, "tinit": 2, "tfinal": 3, "deltaT": 2,
        "target_modules": "all-linear",
      ], merges: true),
    // Names, since families differ in what defaults PEFT has for them.
    MethodCase(
      "ia3",
      [
        "target_modules": "all-linear",
        "feedforward_modules": ["down_proj", "mlp.c_proj", "dense_4h_to_h"],
      ], merges: true),
    MethodCase(
      "miss", ["r": 5, "miss_dropout": 0.1, "target_modules": "all-linear"], merges: true),
    MethodCase(
      "miss-mini", method: "miss",
      [
        "r": 6, "init_weights": "mini", "mini_r": 4, "target_modules": "all-linear",
      ], merges: true),
    MethodCase(
      "bottleneck", ["bottleneck_size": 4, "init_weights": "mam_adapter", "dropout": 0.1]),
    MethodCase("prompt-tuning", ["num_virtual_tokens": 4], startsAtBase: false),
    MethodCase(
      "p-tuning-lstm", method: "p-tuning",
      [
        "num_virtual_tokens": 4, "encoder_reparameterization_type": "LSTM",
        "encoder_hidden_size": 8, "encoder_dropout": 0.1,
      ], startsAtBase: false),
    MethodCase(
      "p-tuning-mlp", method: "p-tuning",
      [
        "num_virtual_tokens": 4, "encoder_reparameterization_type": "MLP",
        "encoder_hidden_size": 8,
      ], startsAtBase: false),
    MethodCase(
      "prefix-tuning", ["num_virtual_tokens": 4, "init_weights": "zero"], startsAtBase: false),
    MethodCase(
      "prefix-projected", method: "prefix-tuning",
      ["num_virtual_tokens": 4, "prefix_projection": true, "encoder_hidden_size": 8],
      startsAtBase: false),
    MethodCase("llama-adapter", ["adapter_len": 4, "adapter_layers": 2]),
    MethodCase("full", merges: true),
  ]

  /// The case on a base: where there are experts LoRA adapts them without dropout, and DoRA adapts what
  /// else there is, as in PEFT.
  package func on(_ base: String) -> MethodCase {
    guard method == "lora", options["target_modules"] == "all-linear", Fixtures.hasExperts(base)
    else { return self }
    var options = options
    options["lora_dropout"] = nil
    if options["use_dora"] == true {
      options["target_modules"] = ["q_proj", "k_proj", "v_proj", "o_proj"]
    }
    return MethodCase(
      name, method: method, options, startsAtBase: startsAtBase, merges: merges)
  }

  /// The methods that have a case.
  package static var methods: Set<String> { Set(all.map(\.method)) }

  /// The first case of a method.
  package static func of(_ method: String) -> MethodCase? { all.first { $0.method == method } }

  /// The case as lines of a YAML file.
  package var yaml: [String] {
    ["method: \(method)"]
      + options.sorted { $0.key < $1.key }.map { "\(Self.key($0.key)): \($0.value.text())" }
  }

  /// The case as arguments of the command line.
  package var arguments: [String] {
    ["--method", method]
      + options.sorted { $0.key < $1.key }.flatMap { name, value -> [String] in
        let option = "--" + Self.key(name).split(separator: "_").joined(separator: "-")
        let texts = value.array?.compactMap(\.string) ?? []
        let names = texts.isEmpty ? nil : texts.joined(separator: ",")
        return value.bool == true ? [option] : [option, names ?? value.string ?? value.text()]
      }
  }

  /// `deltaT` as `delta_t`.
  private static func key(_ name: String) -> String {
    name.reduce(into: "") { $0 += ($1.isUppercase ? "_" : "") + $1.lowercased() }
  }
}
