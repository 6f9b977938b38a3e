import JSON
import Model
import Tensors

/// Standard fine-tuning: every weight of the base trains, in f32.
///
/// It is the same path as any method, with a slot for every tensor of the base and no hook. The
/// result is a model, not an adapter. Parameters: all of them.
public final class FullFineTuning: PEFTMethod {
  /// `full`.
  public static let methodName = "full"
  /// PEFT has none.
  public static let peftType: String? = nil
  /// What a user may set.
  public static let fields: [MethodField] = []
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .weights(5e-5)
  }
  private var slots: [ParameterSlot] = []
  private var arena: ParameterArena?

  /// Takes no options.
  ///
  /// - Throws: `PEFTError.unknownField` for any.
  public init(_ options: MethodOptions) throws(PEFTError) { try options.finish() }

  /// Declares every tensor of the base, last block first.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    // Before memory for all of it is asked for.
    if let parameter = decoder.parameters.first(where: \.storedFormat.isQuantized) {
      throw .unsupportedBase(
        method: name,
        reason: "tensor '\(parameter.name)' is quantised (\(parameter.storedFormat.name)), and "
          + "so few "
          + "bits cannot take the small steps of a training; train an adapter (--method lora), or "
          + "give the model in bf16, f16 or f32")
    }
    for parameter in decoder.parameters.reversed() {
      slots.append(plan.declare(parameter.name, shape: parameter.shape))
    }
  }

  /// Moves every tensor into the arena.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    self.arena = arena
    for slot in slots {
      try asMethod(name) { () throws(ModelError) in
        try decoder.makeTrainable(
          parameter: slot.name, values: arena.values(slot), gradient: arena.gradients(slot))
      }
    }
  }

  /// The start is the base itself.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {}

  /// Takes every tensor by its name.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(tensors, into: arena, source: "the checkpoint")
  }

  /// The result is a model directory, not an adapter.
  public func export(baseName: String) -> AdapterExport? { nil }

  /// The trained weights are the model.
  public var mergeRefusal: String? { nil }

  /// Puts the trained tensor in the base's place.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool {
    guard let arena, let slot = arena.slot(named: name) else { return false }
    values.copy(from: arena.values(slot).reshaped(rows: values.rows, columns: values.columns))
    return true
  }
}
