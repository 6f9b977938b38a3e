import JSON

/// Whether a run is on a good way: updates that were skipped, and which checkpoint is known to be good.
///
/// The state after step k is good when the gradient that step k + 1 finds from there is finite, not far
/// above those of the run so far, and not zero where they were not. So a checkpoint is judged a step after
/// it was saved.
struct RunHealth: Equatable {
  /// A gradient whose norm is more than so many times the median of the good ones is no good sign.
  static let reason = 10.0
  /// Good norms that are remembered.
  private static let window = 32

  /// Updates skipped so far.
  private(set) var skipped = 0
  /// Of these the last ones, without an update in between.
  private(set) var skippedInRow = 0
  /// Steps of this start, the last ones, whose gradient was zero after others that were not.
  private(set) var vanishedInRow = 0
  /// The newest step whose checkpoint is known to be good; nil where none is yet.
  private(set) var lastGood: Int?
  private var saved: Int?
  private var norms: [Double] = []

  /// Of a run that has not begun.
  init() { norms.reserveCapacity(Self.window + 1) }

  /// What a checkpoint kept.
  ///
  /// - Parameter step: the checkpoint's.
  init(stored: JSONValue?, step: Int) {
    self.init()
    skipped = stored?["skipped_steps"]?.int ?? 0
    skippedInRow = stored?["skipped_in_row"]?.int ?? 0
    lastGood = stored?["last_good_step"]?.int
    norms = (stored?["gradient_norms"]?.array ?? []).compactMap(\.double)
    saved = step
  }

  /// The same in memory of its own, so that a step allocates nothing.
  var separate: RunHealth {
    var copy = self
    copy.norms = []
    copy.norms.reserveCapacity(Self.window + 1)
    copy.norms.append(contentsOf: norms)
    return copy
  }

  /// What a checkpoint keeps.
  var stored: [String: JSONValue] {
    [
      "skipped_steps": .int(skipped), "skipped_in_row": .int(skippedInRow),
      "last_good_step": lastGood.map { .int($0) } ?? .null,
      "gradient_norms": .array(norms.map { .double($0) }),
    ]
  }

  /// A checkpoint of a step was saved.
  mutating func didSave(step: Int) { saved = step }

  /// An update was skipped.
  mutating func skip() {
    skipped += 1
    skippedInRow += 1
    saved = nil
  }

  /// A step found a gradient of this norm, and a finite loss.
  mutating func take(gradientNorm norm: Double) {
    skippedInRow = 0
    let usual = median(or: norm)
    let hasVanished = norm == 0 && usual > 0
    vanishedInRow = hasVanished ? vanishedInRow + 1 : 0
    if norm.isFinite && norm <= Self.reason * usual && !hasVanished {
      if let saved { lastGood = saved }
      if norms.count == Self.window { norms.removeFirst() }
      norms.append(norm)
    }
    saved = nil
  }

  /// The median of the good norms; `first` where there is none.
  private func median(or first: Double) -> Double {
    if norms.isEmpty { return first }
    // The rank of each is counted, since sorting would allocate in a step.
    let middle = norms.count / 2
    return norms.first { candidate in
      let below = norms.count { $0 < candidate }
      return below <= middle && middle < below + norms.count { $0 == candidate }
    } ?? first
  }
}
