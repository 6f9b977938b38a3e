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
  /// Whether its tensors come from a file rather than from the seed.
  let isLoaded: Bool
  /// What the user should know of how tensors were taken over, each a sentence.
  public let notes: [String]

  /// Makes a method, attaches it to the decoder, and gives its tensors their first values.
  ///
  /// From here on the decoder keeps the arena alive.
  /// - Throws: `PEFTError` where options, base and tensors do not fit together.
  public init(_ source: AdapterSource, decoder: Decoder, seed: UInt64) throws(PEFTError) {
    method = try PEFTMethods.make(
      source.methodName, options: MethodOptions(source.fields, source: source.description))
    isLoaded = source.tensors != nil
    notes =
      try source.tensors == nil
      ? [] : method.prepareToLoad(source.tensors ?? [])
    var plan = ParameterArenaPlan()
    try method.declare(in: &plan, for: decoder)
    try Self.checkMemory(plan, source)
    arena = ParameterArena(plan)
    try method.attach(to: decoder, arena: arena)
    try method.initialize(seed: seed, decoder: decoder)
    if let tensors = source.tensors { try method.load(tensors) }
    // Hooks and trained parameters hold bare views of the arena.
    decoder.retain(arena)
  }

  /// Refuses values and gradients that no memory of this machine holds.
  private static func checkMemory(
    _ plan: ParameterArenaPlan, _ source: AdapterSource
  ) throws(PEFTError) {
    let available = machineMemoryBytes()
    let (arena, overflows) = plan.floatCount.multipliedReportingOverflow(by: 8)
    let (needed, sumOverflows) = arena.addingReportingOverflow(
      plan.fixedFloatCount * 4 + plan.scratchByteCount)
    guard overflows || sumOverflows || needed > available else { return }
    throw .inconsistentFields(
      "\(source.methodName) would train \(grouped(plan.floatCount)) parameters, which with gradients and the method's own matrices take \(megabytes(needed)); this machine has \(megabytes(available))",
      source: source.description)
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
