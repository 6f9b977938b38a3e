import JSON
import Model
import PEFT
import Tensors

/// A method with everything it needs to run: its tensors in an arena, its hooks in the model.
public struct AttachedMethod {
  /// The method.
  public let method: any PEFTMethod
  /// What it trains.
  public let arena: ParameterArena
  /// What the user should know of how tensors were taken over, each a sentence.
  public let notes: [String]

  /// Makes a method, attaches it to the decoder, and gives its tensors their first values.
  ///
  /// - Throws: `PEFTError` where options, base and tensors do not fit together.
  public init(_ source: AdapterSource, decoder: Decoder, seed: UInt64) throws(PEFTError) {
    method = try PEFTMethods.make(
      source.methodName, options: MethodOptions(source.fields, source: source.description))
    notes =
      try source.tensors == nil
      ? [] : method.prepareToLoad((source.tensors ?? []).map(\.name))
    var plan = ParameterArenaPlan()
    try method.declare(in: &plan, for: decoder)
    arena = ParameterArena(plan)
    try method.attach(to: decoder, arena: arena)
    try method.initialize(seed: seed, decoder: decoder)
    if let tensors = source.tensors { try method.load(tensors) }
  }

  /// Trainable parameters, and all parameters of base and adapter together.
  public func parameterCounts(_ decoder: Decoder) -> (trainable: Int, total: Int) {
    let ofBase = decoder.parameters.reduce(0) { sum, parameter in
      sum + (parameter.isTrainable ? parameter.shape.reduce(1, *) : 0)
    }
    let trainable = arena.parameterCount
    return (trainable, decoder.parameterCount + trainable - ofBase)
  }
}
