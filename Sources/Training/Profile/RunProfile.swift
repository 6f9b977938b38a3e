import DataParallel
import Datasets
import Diagnostics
import Foundation
import Kernels
import Model

/// The profile of some steps of a run: who times them, and what their arithmetic is.
///
/// The first steps, in which pages and caches are filled, are left out where there are others. While
/// a step is profiled, ranks wait for each other before the reduction, so that waiting is not taken
/// for reducing; results are the same.
final class RunProfile {
  /// Steps that warm up.
  private static let warmUpSteps = 2

  let profiler: StepProfiler
  /// The steps to profile.
  let steps: ClosedRange<Int>
  /// Steps profiled so far.
  private(set) var stepCount = 0
  /// Where the trace's time starts: the same moment on all ranks.
  let origin: Int64
  private let arithmetic: DecoderArithmetic
  private(set) var operations = [Double](
    repeating: 0, count: StepPart.allCases.count * StepDirection.allCases.count)

  /// Makes room for the profile of `count` steps; called by all ranks.
  init(
    count: Int, after completedSteps: Int, totalSteps: Int, arithmetic: DecoderArithmetic,
    compute: Compute, communicator: Communicator
  ) throws(MPIError) {
    let latest = max(completedSteps + 1, totalSteps - count + 1)
    let first = min(completedSteps + 1 + RunProfile.warmUpSteps, latest)
    steps = first...max(first, min(first + count - 1, totalSteps))
    self.arithmetic = arithmetic
    profiler = StepProfiler(threads: compute.threadCount)
    compute.profiler = profiler
    try communicator.barrier()
    origin = StepProfiler.now()
  }

  /// Whether the step at hand is profiled.
  var isRecording: Bool { profiler.isRecording }

  /// Starts a step, if it is one of those.
  func begin(step: Int) {
    guard steps.contains(step) else { return }
    stepCount += 1
    profiler.isRecording = true
    profiler.enter(.none, block: step)
    profiler.begin(.step)
    profiler.enter(.none)
  }

  /// Ends it.
  func end() {
    profiler.end()
    profiler.isRecording = false
  }

  /// Counts the arithmetic of a micro-batch that this rank is about to do.
  func count(_ examples: ArraySlice<Int>, of split: TokenSplit) {
    guard isRecording else { return }
    for part in StepPart.allCases {
      for direction in StepDirection.allCases {
        for example in examples {
          operations[RunProfile.index(part, direction)] +=
            2
            * Double(
              arithmetic.multiplyAdds(
                part, direction, length: split.tokenCount(of: example),
                targetCount: split.countedTokenCount(of: example)))
        }
      }
    }
  }

  static func index(_ part: StepPart, _ direction: StepDirection) -> Int {
    part.rawValue * StepDirection.allCases.count + direction.rawValue
  }
}

extension Trainer {
  /// Runs what happens between steps, and notes in the profile how long it took.
  func between<Result>(_ part: StepPart, _ body: () throws -> Result) rethrows -> Result {
    guard let profile else { return try body() }
    let start = StepProfiler.now()
    defer { profile.profiler.record(part, start: start, end: StepProfiler.now()) }
    return try body()
  }

  /// In a profiled step: waits until every rank has come here.
  func waitForRanks() throws {
    guard let profile, profile.isRecording, run.communicator.worldSize > 1 else { return }
    try run.compute.part(.waiting) { try run.communicator.barrier() }
  }

  /// Logs the table and writes the trace of all ranks; called by all ranks.
  func finishProfile() throws {
    guard let profile else { return }
    let table = try ProfileTable(profile, over: run.communicator)
    if profile.stepCount == 0 {
      run.logger.warning("--profile: the run ended before a step was profiled")
    } else {
      run.logger.info("\(table.text(steps: profile.steps))")
    }
    let trace = try ProfileTrace(profile, over: run.communicator)
    try run.communicator.together {
      guard let output = run.output else { return }
      try output.write(trace.json(), to: output.profilePath)
      run.logger.info(
        "profile: \(output.profilePath) opens in https://ui.perfetto.dev or chrome://tracing")
      if trace.droppedEvents > 0 {
        run.logger.warning(
          "\(grouped(trace.droppedEvents)) events found no room in the trace: profile fewer steps")
      }
    }
  }
}
