import Foundation
import JSON
import Model
import Tensors

/// A method's usual learning rate with AdamW, where the user gives none.
///
/// Where the rates come from: Schulman and others ("LoRA Without Regret", Thinking Machines, 2025)
/// fit 5e-5·(2000 / width)^0.781 for full fine-tuning of Llamas, and ten times that for LoRA at any
/// rank; adapters that, like LoRA, add to activations of that width follow LoRA, AdaLoRA's three
/// factors want twice as much (its paper: 5e-4 to 2e-3 at 768). What is small and far from the loss
/// wants much more: Lester and others take 0.3 for prompts; vectors of factors (ia3) and prefixes
/// drawn from N(0, 1) must move by about 1 in some hundred steps. LLaMA-Adapter's 9e-3 is for 4096,
/// P-tuning's 1e-3 for about 1024. Each was tried on two tasks with a base 128 wide, answering
/// questions and 125 steps of program text such as the base had never read. On the second, a third
/// of the rate learns less in every case; three times as much learns more for all but LoRA and
/// P-tuning, and breaks nothing. The smaller one is kept: wide bases and long runs forgive less.
public struct SuggestedRate: Sendable {
  /// The rate on a base 2048 wide.
  let at2048: Double
  /// How it falls with the base's width: as width to the power of minus this.
  let widthExponent: Double

  /// A rate that does not depend on the width.
  static func constant(_ rate: Double) -> SuggestedRate {
    SuggestedRate(at2048: rate, widthExponent: 0)
  }
  /// A rate of weights that act on features of that width.
  static func weights(_ rate: Double) -> SuggestedRate {
    SuggestedRate(at2048: rate, widthExponent: 0.78)
  }
  /// The same where they make a prompt.
  static func encoders(_ rate: Double) -> SuggestedRate {
    SuggestedRate(at2048: rate, widthExponent: 0.5)
  }

  /// The rate on a base, rounded to two digits: it is a place to start from, not a result.
  func rate(hiddenSize: Int) -> Double? {
    let rate = at2048 * PortableMath.pow(Double(max(hiddenSize, 1)) / 2048, -widthExponent)
    // Through text: 4.4e-3 rather than 0.0044000000000000003.
    return Double(String(format: "%.1e", rate))
  }
}

/// The list of methods: the one place that a new method is added to.
public enum PEFTMethods {
  private static var all: [any PEFTMethod.Type] {
    [
      LoRA.self, AdaLoRA.self, IA3.self, PromptTuning.self, PTuning.self, PrefixTuning.self,
      LLaMAAdapter.self, BottleneckAdapter.self, MiSS.self, FullFineTuning.self,
    ]
  }

  /// The names on the command line.
  public static var names: [String] { all.map { $0.methodName } }

  private static func type(_ name: String) -> (any PEFTMethod.Type)? {
    all.first { $0.methodName == name }
  }

  /// The fields that a method declares; none for an unknown name.
  public static func fields(of name: String) -> [MethodField] { type(name)?.fields ?? [] }

  /// The methods that declare a field, by its name in files.
  public static func methods(taking field: String) -> [String] {
    all.filter { $0.fields.contains { $0.name == field } }.map { $0.methodName }
  }

  /// The learning rate that suits a method with AdamW on a base of this width; nil for an unknown
  /// name.
  ///
  /// - Parameters:
  ///   - name: the method's.
  ///   - hiddenSize: the base's width.
  ///   - fields: the method's fields as given.
  public static func suggestedLearningRate(
    _ name: String, hiddenSize: Int, fields: [String: JSONValue] = [:]
  ) -> Double? {
    type(name)?.suggestedRate(fields).rate(hiddenSize: hiddenSize)
  }

  /// Makes a method.
  ///
  /// - Throws: `PEFTError` where the name is unknown or an option is not the method's.
  public static func make(_ name: String, options: MethodOptions) throws(PEFTError)
    -> any PEFTMethod
  {
    guard let type = type(name) else { throw .unknownMethod(name: name, known: names) }
    return try type.init(MethodOptions(options, fields: type.fields, method: name))
  }

  /// The method that an `adapter_config.json` names.
  ///
  /// - Throws: `PEFTError` where it is none of ours.
  public static func name(of configuration: JSONValue, source: String) throws(PEFTError)
    -> String
  {
    guard let type = all.first(where: { $0.recognizes(configuration) }) else {
      throw .unsupportedField(
        name: "peft_type", value: configuration["peft_type"]?.text() ?? "nothing",
        expected: all.compactMap { $0.peftType }.joined(separator: ", "), source: source)
    }
    return type.methodName
  }

  /// The adapter of a checkpoint as its ecosystem stores it; no base is needed.
  ///
  /// - Parameters:
  ///   - tensors: the checkpoint's, by name.
  ///   - configuration: the `adapter_config.json` that the run would have written.
  ///   - notes: what a reader of the export should know, each a sentence.
  /// - Throws: `PEFTError` where the configuration is of no method.
  public static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String]
  ) throws(PEFTError) -> AdapterExport {
    let name = try name(of: configuration, source: "the checkpoint")
    guard let type = type(name) else { throw .unknownMethod(name: name, known: names) }
    return type.export(tensors, configuration: configuration, notes: notes)
  }
}
