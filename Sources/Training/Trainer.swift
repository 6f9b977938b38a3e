// One optimiser step, top to bottom. This file is the main path of the program: what a step does,
// in the order in which it does it, and the loop around it.
//
// What it refuses to do: know a method (that is `PEFTMethod`), a model (`Decoder`), MPI
// (`GradientReducer`), files of adapters and checkpoints (`Trainer+Saving`); allocate memory in a
// step; let ranks differ in anything, which is why each error here is thrown by all of them alike.

import DataParallel
import Datasets
import Kernels
import Model
import PEFT
import Tensors

/// Runs the steps of a prepared run.
///
/// The same global batch gives the same update to the last bit whatever the number of ranks and
/// threads: a micro-batch's gradient depends on the micro-batch alone, the reduction is exact, and
/// everything after it is computed by every rank from the same numbers.
public final class Trainer {
  /// What the run is.
  let run: TrainingRun
  let reducer: GradientReducer
  let dealer: MicroBatchDealer
  let batch: TokenBatch
  let examples: ExampleBuffer
  let totals = StepTotals()
  let learningRates: LearningRateSchedule
  let metrics: MetricsWriter?  // on rank 0
  let validation: Evaluation?
  let random: CounterRandom
  /// Updates so far; less than steps where nothing counted in some.
  var updateCount = 0
  /// Tokens of all steps so far, over all ranks.
  var tokensSeen = 0
  /// How fast the steps are.
  var throughput: Throughput
  let arithmetic: DecoderArithmetic
  let memoryPlan: MemoryPlan
  let profile: RunProfile?
  /// Seconds of each step of this start.
  var stepSeconds: [Double] = []
  var lastSavedStep: Int?
  /// Called at the end of each step, before what is due after it: for measuring from outside.
  public var didEndStep: ((_ step: Int) -> Void)?

  /// One optimiser step: every micro-batch forward and backward, the reduction, the update.
  ///
  /// - Parameter step: the step's number, from 1.
  /// - Returns: figures of the step, equal on all ranks.
  /// - Throws: where MPI or a file fails, and `TrainingError.nonFiniteGradient` on all ranks.
  func step(_ step: Int) throws -> StepReport {
    let (arena, method, compute) = (run.attached.arena, run.attached.method, run.compute)
    var context = StepContext(
      step: step, totalSteps: learningRates.totalSteps, seed: run.configuration.seed,
      compute: compute)
    let globalBatch = run.schedule.batch(step: step)
    var report = StepReport(globalBatch, of: run.dataset.train, arithmetic: arithmetic)
    report.learningRate = learningRates.learningRate(step: step)
    tokensSeen += report.tokens
    guard report.countedTokens > 0 else { return report }
    let bytesBefore = run.communicator.reducedBytes

    compute.part(.method) { method.prepareStep(context) }
    totals.reset()
    let mine = dealer.microBatches(
      of: globalBatch, from: run.dataset.train, rank: run.communicator.rank)
    for index in mine {
      try compute.part(.dataLoading) {
        try run.dataset.train.load(globalBatch.microBatch(index), into: examples)
        batch.fill(from: examples)
      }
      profile?.count(globalBatch.microBatch(index), of: run.dataset.train)
      arena.clearGradients()
      let pass = Pass(
        batch: batch, compute: compute,
        random: random.substream(UInt64(step)).substream(UInt64(index)), isTraining: true)
      totals.loss.add(run.decoder.forwardBackward(pass).loss)
      compute.part(.reduction) { reducer.accumulate(arena) }
    }
    try waitForRanks()

    // Gradients and losses are sums over tokens; the division comes last, once, and exactly alike.
    let scale = 1 / Double(report.countedTokens)
    arena.clearDerivedGradients()
    let reduction = try compute.part(.reduction) {
      let summary = try reducer.finish(into: arena, scale: scale)
      totals.stopRequests = StopRequest.isMade ? 1 : 0
      try totals.reduce(over: run.communicator)
      return summary
    }
    report.loss = totals.loss.value * scale
    report.isStopRequested = totals.stopRequests > 0
    report.reducedBytes = run.communicator.reducedBytes - bytesBefore
    if let index = reduction.nonFiniteTensor {
      throw TrainingError.nonFiniteGradient(tensor: arena.slots[index].name, step: step)
    }
    compute.part(.method) { method.didReduceGradients(context) }

    updateCount += 1
    compute.part(.optimizer) {
      report.gradientNorm = GradientClipping.norm(arena, on: compute)
      let clip = GradientClipping.factor(
        norm: report.gradientNorm, limit: run.configuration.maxGradientNorm)
      run.optimizer.update(
        step: updateCount, learningRate: report.learningRate, gradientScale: clip, on: compute)
      context.gradientScale = Float(clip)
    }
    compute.part(.method) { method.didStep(context) }
    return report
  }

  /// All steps, with metrics, evaluations and checkpoints between them.
  ///
  /// - Returns: how the run ended, equal on all ranks.
  public func train() throws -> RunOutcome {
    let configuration = run.configuration
    let clock = ContinuousClock()
    let start = clock.now
    var status = RunOutcome.Status.completed
    var step = run.completedSteps
    stepSeconds.reserveCapacity(min(learningRates.totalSteps - step, 1 << 20))
    while step < learningRates.totalSteps {
      step += 1
      let began = clock.now
      profile?.begin(step: step)
      let report = try self.step(step)
      profile?.end()
      let seconds = (clock.now - began) / .seconds(1)
      throughput.add(report, seconds: seconds)
      stepSeconds.append(seconds)
      didEndStep?(step)

      let isLast = step == learningRates.totalSteps
      if report.isStopRequested && !isLast {
        return try stop(step: step, duration: clock.now - start)
      }
      if isLast || isDue(configuration.loggingSteps, step) || report.countedTokens == 0 {
        try log(report)
      }
      if run.dataset.validation != nil && (isLast || isDue(configuration.evalSteps, step)) {
        try evaluateAndCompare(step: step)
      }
      let isStopping = shouldStopEarly && !isLast
      if isLast || isStopping || isDue(configuration.saveSteps, step) { try save(step: step) }
      if isStopping {
        status = .stoppedEarly
        break
      }
    }
    return try finish(status, step: step, duration: clock.now - start)
  }

  private func isDue(_ interval: Int, _ step: Int) -> Bool {
    interval > 0 && step.isMultiple(of: interval)
  }

  /// Allocates what the steps of `run` need.
  ///
  /// - Throws: `ModelError` where the model cannot hold the longest example, `TrainingError` where
  ///   the metrics cannot be written.
  public init(_ run: TrainingRun) throws {
    self.run = run
    let configuration = run.configuration
    learningRates = run.learningRates
    random = CounterRandom(seed: configuration.seed, purpose: "training")
    let splits = [run.dataset.train, run.dataset.validation].compactMap(\.self)
    let sequences = configuration.microBatchSize
    let tokens = splits.map { $0.maximumTokenCount(ofExamples: sequences) }.max() ?? 0
    let length = splits.map { $0.maximumTokenCount(ofExamples: 1) }.max() ?? 0
    let decoder = run.decoder
    // Before the workspace is there, which takes the memory that measuring gives back.
    throughput = Throughput(peak: try run.measurePeak())
    arithmetic = decoder.usefulArithmetic
    let plan = try run.communicator.together {
      try decoder.prepare(
        for: .training(recomputesActivations: configuration.recomputesActivations),
        maximumTokens: tokens, maximumSequences: sequences, maximumLength: length)
    }
    for operand in decoder.largestOperands(maximumTokens: tokens, maximumSequences: sequences) {
      run.compute.reserve(operandRows: operand.rows, columns: operand.columns)
    }
    batch = decoder.makeBatch(maximumTokens: tokens, maximumSequences: sequences)
    examples = ExampleBuffer(tokenCapacity: tokens, sequenceCapacity: sequences)
    dealer = MicroBatchDealer(worldSize: run.communicator.worldSize)
    reducer = GradientReducer(
      arena: run.attached.arena, communicator: run.communicator,
      microBatches: dealer.mostMicroBatches(of: run.schedule.mostMicroBatches))
    memoryPlan = MemoryPlan(
      run, workspaceBytes: plan.byteCount, reducerBytes: reducer.byteCount)
    metrics = try run.communicator.together {
      try run.output.map { output in
        try output.write(RunSettings.yaml(run.resolved), to: output.configurationPath)
        return try MetricsWriter(
          path: output.metricsPath,
          resumingAfter: run.completedSteps > 0 ? run.completedSteps : nil)
      }
    }
    validation = run.dataset.validation.map {
      Evaluation(split: $0, microBatchSize: sequences, communicator: run.communicator)
    }
    profile =
      run.configuration.profiledSteps == 0
      ? nil
      : try RunProfile(
        count: run.configuration.profiledSteps, after: run.completedSteps,
        totalSteps: learningRates.totalSteps, arithmetic: arithmetic, compute: run.compute,
        communicator: run.communicator)
    countCompletedSteps()
    try begin()
  }

  /// What earlier starts of this run have seen, from the schedule alone.
  private func countCompletedSteps() {
    for step in 0..<run.completedSteps {
      let report = StepReport(
        run.schedule.batch(step: step + 1), of: run.dataset.train, arithmetic: arithmetic)
      tokensSeen += report.tokens
      updateCount += report.countedTokens > 0 ? 1 : 0
    }
  }
}

extension TrainingRun {
  /// Trains to the end.
  ///
  /// - Returns: how the run ended, equal on all ranks.
  public func train() throws -> RunOutcome { try Trainer(self).train() }
}
