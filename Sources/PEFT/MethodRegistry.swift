import JSON
import Model

/// The list of methods: the one place that a new method is added to.
public enum PEFTMethods {
  /// A method's names, its usual learning rate, and how it is made.
  private struct Entry {
    /// On the command line.
    let name: String
    /// `peft_type` in `adapter_config.json`; nil for what Hugging Face PEFT does not have.
    let peftType: String?
    /// Learning rate of AdamW where the user gives none.
    ///
    /// The papers' own choices, rounded: prompts and scaling vectors are few numbers far from the
    /// loss and want much more than LoRA.
    let learningRate: Double
    let make: (MethodOptions) throws(PEFTError) -> any PEFTMethod

    init(
      _ name: String, _ peftType: String?, learningRate: Double,
      _ make: @escaping (MethodOptions) throws(PEFTError) -> any PEFTMethod
    ) {
      self.name = name
      self.peftType = peftType
      self.learningRate = learningRate
      self.make = make
    }
  }

  private static let bottleneckName = "bottleneck"

  private static var entries: [Entry] {
    [
      Entry("lora", "LORA", learningRate: 2e-4) { options throws(PEFTError) in
        try LoRA(options)
      },
      Entry("adalora", "ADALORA", learningRate: 2e-3) { options throws(PEFTError) in
        try AdaLoRA(options)
      },
      Entry("ia3", "IA3", learningRate: 3e-3) { options throws(PEFTError) in try IA3(options) },
      Entry("prompt-tuning", "PROMPT_TUNING", learningRate: 3e-2) { options throws(PEFTError) in
        try PromptTuning(options)
      },
      Entry("p-tuning", "P_TUNING", learningRate: 1e-3) { options throws(PEFTError) in
        try PTuning(options)
      },
      Entry("prefix-tuning", "PREFIX_TUNING", learningRate: 1e-2) { options throws(PEFTError) in
        try PrefixTuning(options)
      },
      Entry("llama-adapter", "ADAPTION_PROMPT", learningRate: 9e-3) { options throws(PEFTError) in
        try LLaMAAdapter(options)
      },
      Entry(bottleneckName, nil, learningRate: 1e-3) { options throws(PEFTError) in
        try BottleneckAdapter(options)
      },
      Entry("full", nil, learningRate: 2e-5) { options throws(PEFTError) in
        try FullFineTuning(options)
      },
    ]
  }

  /// The names on the command line.
  public static var names: [String] { entries.map(\.name) }

  /// The learning rate that suits a method with AdamW; nil for an unknown name.
  public static func suggestedLearningRate(_ name: String) -> Double? {
    entries.first { $0.name == name }?.learningRate
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
