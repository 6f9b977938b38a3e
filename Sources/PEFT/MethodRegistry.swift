import Foundation
import JSON
import Model
import Tensors

/// The list of methods: the one place that a new method is added to.
public enum PEFTMethods {
  /// A method's names, its usual learning rate, and how it is made.
  private struct Entry {
    /// On the command line.
    let name: String
    /// `peft_type` in `adapter_config.json`; nil for what Hugging Face PEFT does not have.
    let peftType: String?
    /// Learning rate of AdamW on a base 2048 wide, where the user gives none.
    let learningRate: Double
    /// How it falls with the base's width: as width to the power of minus this.
    let widthExponent: Double
    let make: (MethodOptions) throws(PEFTError) -> any PEFTMethod

    init(
      _ name: String, _ peftType: String?, learningRate: Double, widthExponent: Double = 0,
      _ make: @escaping (MethodOptions) throws(PEFTError) -> any PEFTMethod
    ) {
      self.name = name
      self.peftType = peftType
      self.learningRate = learningRate
      self.widthExponent = widthExponent
      self.make = make
    }
  }

  private static let bottleneckName = "bottleneck"

  // Where the rates come from. Schulman and others ("LoRA Without Regret", Thinking Machines, 2025)
  // fit 5e-5·(2000 / width)^0.781 for full fine-tuning of Llamas, and ten times that for LoRA at any
  // rank; adapters that, like LoRA, add to activations of that width follow LoRA, AdaLoRA's three
  // factors want twice as much (its paper: 5e-4 to 2e-3 at 768). What is small and far from the loss
  // wants much more: Lester and others take 0.3 for prompts; vectors of factors (ia3) and prefixes
  // drawn from N(0, 1) must move by about 1 in some hundred steps. LLaMA-Adapter's 9e-3 is for 4096,
  // P-tuning's 1e-3 for about 1024. Each was tried on two tasks with a base 128 wide, answering
  // questions and 125 steps of program text such as the base had never read. On the second, a third
  // of the rate learns less in every case; three times as much learns more for all but LoRA and
  // P-tuning, and breaks nothing. The smaller one is kept: wide bases and long runs forgive less.
  /// Fall of the rate with the width where weights of that width move.
  private static let weights = 0.78
  /// The same where they make a prompt.
  private static let encoders = 0.5

  private static var entries: [Entry] {
    [
      Entry("lora", "LORA", learningRate: 5e-4, widthExponent: weights) {
        options throws(PEFTError) in
        try LoRA(options)
      },
      Entry("adalora", "ADALORA", learningRate: 1e-3, widthExponent: weights) {
        options throws(PEFTError) in
        try AdaLoRA(options)
      },
      Entry("ia3", "IA3", learningRate: 3e-2) { options throws(PEFTError) in try IA3(options) },
      Entry("prompt-tuning", "PROMPT_TUNING", learningRate: 0.3) { options throws(PEFTError) in
        try PromptTuning(options)
      },
      Entry("p-tuning", "P_TUNING", learningRate: 7e-4, widthExponent: encoders) {
        options throws(PEFTError) in
        try PTuning(options)
      },
      Entry("prefix-tuning", "PREFIX_TUNING", learningRate: 5e-2) { options throws(PEFTError) in
        try PrefixTuning(options)
      },
      Entry("llama-adapter", "ADAPTION_PROMPT", learningRate: 1e-2, widthExponent: encoders) {
        options throws(PEFTError) in
        try LLaMAAdapter(options)
      },
      Entry(bottleneckName, nil, learningRate: 5e-4, widthExponent: weights) {
        options throws(PEFTError) in
        try BottleneckAdapter(options)
      },
      Entry("full", nil, learningRate: 5e-5, widthExponent: weights) { options throws(PEFTError) in
        try FullFineTuning(options)
      },
    ]
  }

  /// The names on the command line.
  public static var names: [String] { entries.map(\.name) }

  /// The learning rate that suits a method with AdamW on a base of this width; nil for an unknown
  /// name.
  ///
  /// Rounded to two digits: it is a place to start from, not a result.
  /// - Parameter fields: the method's fields as given; a prefix made by an encoder trains like a
  ///   prompt made by one.
  public static func suggestedLearningRate(
    _ name: String, hiddenSize: Int, fields: [String: JSONValue] = [:]
  ) -> Double? {
    let isProjected = name == "prefix-tuning" && fields["prefix_projection"] == true
    let model = isProjected ? "p-tuning" : name
    guard let entry = entries.first(where: { $0.name == model }) else { return nil }
    let width = Double(max(hiddenSize, 1)) / 2048
    let rate = entry.learningRate * PortableMath.pow(width, -entry.widthExponent)
    // Through text: 4.4e-3 rather than 0.0044000000000000003.
    return Double(String(format: "%.1e", rate))
  }

  /// Makes a method.
  ///
  /// - Throws: `PEFTError` where the name is unknown or an option is not the method's.
  public static func make(_ name: String, options: MethodOptions) throws(PEFTError)
    -> any PEFTMethod
  {
    guard let entry = entries.first(where: { $0.name == name }) else {
      throw .unknownMethod(name: name, known: names)
    }
    return try entry.make(options)
  }

  /// The method that an `adapter_config.json` names: PEFT's by `peft_type`, AdapterHub's, which has
  /// none, by its `config` object.
  ///
  /// - Throws: `PEFTError` where `peft_type` is missing or not one of ours.
  public static func name(of configuration: JSONValue, source: String) throws(PEFTError)
    -> String
  {
    if configuration["peft_type"] == nil, configuration["config"]?.object != nil {
      return bottleneckName
    }
    let known = entries.compactMap(\.peftType)
    guard let type = configuration["peft_type"]?.string,
      let entry = entries.first(where: { $0.peftType == type })
    else {
      throw .unsupportedField(
        name: "peft_type", value: configuration["peft_type"]?.text() ?? "nothing",
        expected: known.joined(separator: ", "), source: source)
    }
    return entry.name
  }
}
