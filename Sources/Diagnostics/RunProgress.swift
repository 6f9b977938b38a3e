import Synchronization

/// What this process is doing, and a number that grows while it gets on: how others tell that it has
/// not stalled.
///
/// ```swift
/// RunProgress.enter(.evaluation, step: 100)
/// for example in examples { …; RunProgress.tick() }
/// ```
///
/// Whatever takes long ticks: each kernel, each call that reads, writes or sends. A tick is one atomic
/// addition. Any thread may read (``now``).
package enum RunProgress {
  /// A stretch of a run, as messages name it.
  package enum Phase: UInt64, Sendable, CaseIterable {
    /// Before anything is opened.
    case start
    /// Opening, hashing and comparing base, adapter and dataset.
    case opening
    /// Forward and backward passes.
    case gradients
    /// Adding gradients and losses over ranks.
    case reduction
    /// Moving the trained tensors.
    case update
    /// The loss on the validation split.
    case evaluation
    /// Answers to questions.
    case answers
    /// Writing a checkpoint.
    case saving
    /// Writing what the run leaves.
    case publishing

    /// Behind "in step 12, ".
    package var text: String {
      switch self {
      case .start: "starting"
      case .opening: "opening and comparing base and dataset"
      case .gradients: "forward and backward passes"
      case .reduction: "the reduction of gradients"
      case .update: "the update"
      case .evaluation: "the evaluation"
      case .answers: "answering questions"
      case .saving: "saving a checkpoint"
      case .publishing: "writing the results"
      }
    }
  }

  /// A moment of a process.
  package struct Moment: Sendable, Hashable {
    /// Grows while the process gets on.
    package var count: UInt64
    /// The optimiser step at hand; 0 before the first.
    package var step: UInt64
    /// What it does.
    package var phase: Phase
    /// Whether it waits for other ranks.
    package var isWaiting: Bool

    package init(count: UInt64, step: UInt64, phase: Phase, isWaiting: Bool) {
      self.count = count
      self.step = step
      self.phase = phase
      self.isWaiting = isWaiting
    }
  }

  private static let count = Atomic<UInt64>(0)
  private static let step = Atomic<UInt64>(0)
  private static let phase = Atomic<UInt64>(0)
  private static let waits = Atomic<UInt64>(0)

  /// The process got on.
  package static func tick() { count.wrappingAdd(1, ordering: .relaxed) }

  /// Where step, phase and waiting are written too, as they change: three atomic numbers in memory
  /// that others read, such as processes that go on when this one is stopped.
  private static let mirror = Atomic<UInt>(0)

  /// Writes step, phase and the number of waits to `place` from now on, which must stay.
  package static func share(at place: UnsafeMutablePointer<Atomic<UInt64>>) {
    mirror.store(UInt(bitPattern: place), ordering: .releasing)
    reflect()
  }

  private static func reflect() {
    guard
      let place = unsafe UnsafeMutablePointer<Atomic<UInt64>>(
        bitPattern: mirror.load(ordering: .acquiring))
    else { return }
    unsafe place[0].store(step.load(ordering: .relaxed), ordering: .relaxed)
    unsafe place[1].store(phase.load(ordering: .relaxed), ordering: .relaxed)
    unsafe place[2].store(waits.load(ordering: .relaxed), ordering: .relaxed)
  }

  /// Something else begins.
  ///
  /// - Parameter phase: what begins.
  /// - Parameter step: the optimiser step; as before where it is left out.
  package static func enter(_ phase: Phase, step: Int? = nil) {
    if let step { Self.step.store(UInt64(step), ordering: .relaxed) }
    Self.phase.store(phase.rawValue, ordering: .relaxed)
    tick()
    reflect()
  }

  /// Runs what returns only when other ranks have come, too.
  package static func whileWaiting<Result>(_ body: () -> Result) -> Result {
    waits.wrappingAdd(1, ordering: .relaxed)
    reflect()
    defer {
      tick()
      waits.wrappingSubtract(1, ordering: .relaxed)
      reflect()
    }
    return body()
  }

  /// What this process does now.
  package static var now: Moment {
    Moment(
      count: count.load(ordering: .relaxed), step: step.load(ordering: .relaxed),
      phase: Phase(rawValue: phase.load(ordering: .relaxed)) ?? .start,
      isWaiting: waits.load(ordering: .relaxed) > 0)
  }
}
