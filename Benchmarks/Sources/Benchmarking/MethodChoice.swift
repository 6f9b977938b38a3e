/// The settings with which each method is measured: those of its peer, so that both train the same.
package enum MethodChoice {
  /// What `--method` takes, in the tables' order; `dora` is LoRA with `--use-dora`.
  package static let names = [
    "lora", "dora", "adalora", "miss", "ia3", "bottleneck", "prompt-tuning", "p-tuning",
    "prefix-tuning", "llama-adapter", "full",
  ]

  /// Tokens that the prompt methods and prefix tuning put in front.
  package static let virtualTokens = 20

  /// The blocks that LLaMA-Adapter adapts, counted from the top.
  package static func adapterLayers(_ shape: ModelShape) -> Int { max(1, shape.blockCount - 2) }

  /// The options of `swift-peft-train`.
  package static func options(_ method: String, shape: ModelShape, r: Int = 16) -> [String] {
    switch method {
    case "lora", "dora":
      ["--method", "lora", "--r", "\(r)", "--lora-alpha", "\(r)", "--target-modules", "all-linear"]
        + (method == "dora" ? ["--use-dora"] : [])
    case "adalora":
      [
        "--method", method, "--init-r", "12", "--target-r", "8", "--target-modules", "all-linear",
        "--total-step", "1000",
      ]
    case "miss": ["--method", method, "--r", "\(r)", "--target-modules", "all-linear"]
    case "prompt-tuning", "prefix-tuning", "p-tuning":
      ["--method", method, "--num-virtual-tokens", "\(virtualTokens)"]
    case "llama-adapter":
      ["--method", method, "--adapter-len", "10", "--adapter-layers", "\(adapterLayers(shape))"]
    default: ["--method", method]
    }
  }
}
