/// How a tensor of the arena takes part in a step.
public enum ParameterRole: Sendable, Hashable {
  /// Trained: its gradient is reduced over ranks, its value moved by the optimizer.
  case trained
  /// Computed from others once a step (the prompt that an encoder makes): its gradient is reduced,
  /// the optimizer leaves it alone.
  case computed
  /// Trained, but never reduced: every rank derives its gradient from reduced ones (an encoder's own
  /// weights).
  case derived
  /// Drawn or computed at the start and never moved (random projections, the initial factors of an
  /// initialisation): stored and exported, without gradient or moments.
  case fixed

  /// Whether the gradient is summed over ranks.
  public var isReduced: Bool { self == .trained || self == .computed }
  /// Whether the optimizer moves the value and the checkpoint keeps its moments.
  public var isOptimized: Bool { self == .trained || self == .derived }
  /// Whether there is a gradient.
  public var hasGradient: Bool { self != .fixed }
}

/// The name and place of one trainable tensor in a `ParameterArena`.
public struct ParameterSlot: Sendable, Hashable {
  /// Position among the arena's tensors.
  public let index: Int
  /// The tensor's name, as its owner's file format spells it.
  public let name: String
  /// Dimensions, outermost first.
  public let shape: [Int]
  /// First float in the arena; of fixed tensors, which lie apart, among these.
  public let offset: Int
  /// How it takes part in a step.
  public let role: ParameterRole

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }
  /// Where the tensor's floats lie in the arena's buffers.
  public var range: Range<Int> { offset..<(offset + count) }
  /// All dimensions but the last, multiplied.
  public var rows: Int { shape.dropLast().reduce(1, *) }
  /// The last dimension.
  public var columns: Int { shape.last ?? 1 }
}

/// Collects the trainable tensors before the arena is allocated.
///
/// Whoever declares them does so last block first, the order in which backward reaches them.
public struct ParameterArenaPlan {
  /// The tensors declared so far.
  public private(set) var slots: [ParameterSlot] = []
  private var count = 0
  private var fixedCount = 0
  private var names: Set<String> = []

  /// A plan without tensors.
  public init() {}

  /// Declares a tensor, whose name must be new.
  public mutating func declare(
    _ name: String, shape: [Int], role: ParameterRole = .trained
  ) -> ParameterSlot {
    precondition(names.insert(name).inserted, "the tensor '\(name)' was declared twice")
    let slot = ParameterSlot(
      index: slots.count, name: name, shape: shape,
      offset: role.hasGradient ? count : fixedCount, role: role)
    slots.append(slot)
    // Each tensor starts on a cache line; the gaps hold zeros in every buffer.
    let room = (slot.count + 15) & ~15
    if role.hasGradient { count += room } else { fixedCount += room }
    return slot
  }

  /// Floats from the first tensor's start to the last one's end, gaps included.
  ///
  /// Fixed tensors are not among them: gradients and moments are laid out as these floats are.
  public var floatCount: Int { count }
  /// Floats of the fixed tensors, gaps included.
  public var fixedFloatCount: Int { fixedCount }
  /// Bytes that the method will allocate besides, where they grow faster than its tensors.
  public var scratchByteCount = 0
}

/// Values and gradients of everything that trains, each in one contiguous f32 buffer.
///
/// PEFT declares and fills it, backward adds to the gradients, the reducer sums them over ranks, the
/// optimizer reads both. It knows names and ranges, not what the tensors are for.
public final class ParameterArena {
  /// The tensors, in the order of their offsets.
  public let slots: [ParameterSlot]
  /// Floats in the buffers of values and of gradients, gaps included, without fixed tensors.
  public let floatCount: Int
  /// Floats of the fixed tensors, gaps included.
  public let fixedFloatCount: Int
  private let valueBuffer: FloatBuffer
  private let gradientBuffer: FloatBuffer
  private let fixedBuffer: FloatBuffer
  private let indexByName: [String: Int]

  /// Whether it has sizes and no memory: then nothing may be read or written.
  public let isPlanned: Bool

  /// Allocates what `plan` declared, all zero.
  ///
  /// - Parameters:
  ///   - plan: names, shapes and roles.
  ///   - isPlanned: whether only its sizes are wanted, and nothing is allocated.
  public init(_ plan: ParameterArenaPlan, isPlanned: Bool = false) {
    slots = plan.slots
    self.isPlanned = isPlanned
    floatCount = plan.floatCount
    valueBuffer = FloatBuffer(count: plan.floatCount, isPlanned: isPlanned)
    gradientBuffer = FloatBuffer(count: plan.floatCount, isPlanned: isPlanned)
    fixedFloatCount = plan.fixedFloatCount
    fixedBuffer = FloatBuffer(count: plan.fixedFloatCount, isPlanned: isPlanned)
    indexByName = Dictionary(uniqueKeysWithValues: plan.slots.map { ($0.name, $0.index) })
  }

  /// Bytes of all buffers.
  public var byteCount: Int { (2 * floatCount + fixedFloatCount) * 4 }

  /// Number of trainable parameters, without gaps, computed and fixed tensors.
  public var parameterCount: Int {
    slots.reduce(0) { $0 + ($1.role.isOptimized ? $1.count : 0) }
  }

  /// The tensor named `name`, if there is one.
  public func slot(named name: String) -> ParameterSlot? { indexByName[name].map { slots[$0] } }

  /// A tensor's values, as [all dimensions but the last, last].
  public func values(_ slot: ParameterSlot) -> MatrixView {
    slot.role.hasGradient
      ? valueBuffer.view(offset: slot.offset, rows: slot.rows, columns: slot.columns)
      : fixedBuffer.view(offset: slot.offset, rows: slot.rows, columns: slot.columns)
  }

  /// A tensor's gradient, in the shape of its values; a fixed tensor has none.
  public func gradients(_ slot: ParameterSlot) -> MatrixView {
    precondition(slot.role.hasGradient, "the tensor '\(slot.name)' is fixed")
    return gradientBuffer.view(offset: slot.offset, rows: slot.rows, columns: slot.columns)
  }

  /// All values but those of fixed tensors as one row, gaps included.
  public var allValues: MatrixView { valueBuffer.all }

  /// All gradients as one row, gaps included.
  public var allGradients: MatrixView { gradientBuffer.all }

  // A view keeps nobody alive: an arena whose last use made one may be gone before the view is read.
  // These copy while the arena is there.

  /// A copy of a tensor's values, last dimension fastest.
  public func valueElements(_ slot: ParameterSlot) -> [Float] { values(slot).elements }

  /// A copy of a tensor's gradient, last dimension fastest.
  public func gradientElements(_ slot: ParameterSlot) -> [Float] { gradients(slot).elements }

  /// A copy of ``allValues``.
  public var allValueElements: [Float] { allValues.elements }

  /// A copy of ``allGradients``.
  public var allGradientElements: [Float] { allGradients.elements }

  /// Sets the gradients to zero that ranks derive from reduced ones.
  public func clearDerivedGradients() {
    for slot in slots where slot.role == .derived { gradients(slot).fill(0) }
  }

  /// Sets every gradient to zero.
  public func clearGradients() { gradientBuffer.all.fill(0) }
}
