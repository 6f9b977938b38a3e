import Diagnostics
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
  /// From here on the decoder keeps the arena alive. Of a decoder that is only planned so are the
  /// tensors, which get no values.
  /// - Throws: `PEFTError` where options, base and tensors do not fit together, or memory cannot hold them.
  public init(_ source: AdapterSource, decoder: Decoder, seed: UInt64) throws(PEFTError) {
    try self.init(source, decoder: decoder, seed: seed, room: MemoryRoom(), momentCount: 0)
  }

  /// The same on a node with so much room, for an optimiser with so many moments a weight.
  init(
    _ source: AdapterSource, decoder: Decoder, seed: UInt64, room: MemoryRoom, momentCount: Int
  ) throws(PEFTError) {
    method = try PEFTMethods.make(
      source.methodName, options: MethodOptions(source.fields, source: source.description))
    isLoaded = source.tensors != nil
    notes =
      try source.tensors == nil
      ? [] : method.prepareToLoad(source.tensors ?? [])
    var plan = ParameterArenaPlan()
    try method.declare(in: &plan, for: decoder)
    if !decoder.isPlanned {
      try Self.check(plan, method: source.methodName, momentCount: momentCount, room)
    }
    arena = ParameterArena(plan, isPlanned: decoder.isPlanned)
    try method.attach(to: decoder, arena: arena)
    // Hooks and trained parameters hold bare views of the arena.
    decoder.retain(arena)
    if decoder.isPlanned { return }
    try method.initialize(seed: seed, decoder: decoder)
    if let tensors = source.tensors { try method.load(tensors) }
  }

  /// Refuses what no memory of this node holds.
  private static func check(
    _ plan: ParameterArenaPlan, method: String, momentCount: Int, _ room: MemoryRoom
  ) throws(PEFTError) {
    let values = plan.floatCount.saturating(times: 4)
    let parts = [
      MemoryPart("values", values.saturating(plus: plan.fixedFloatCount.saturating(times: 4))),
      MemoryPart("gradients", values),
      MemoryPart("moments", values.saturating(times: momentCount)),
      MemoryPart("the method's own matrices", plan.scratchByteCount),
    ]
    let own = parts.reduce(0) { $0.saturating(plus: $1.byteCount) }
    let shortage = room.shortage(of: parts) { fits in
      MemoryWays(
        own: own, workspace: 0, recomputed: nil, training: own,
        trainsAll: method == FullFineTuning.methodName, ranks: room.rankCount,
        isQuantizable: false
      ).list(fits)
    }
    if let shortage { throw .memoryShortage(shortage) }
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
