// One optimiser step, top to bottom. This file is the main path of the program: what a step does,
// in the order in which it does it, and the loop around it.
//
// What it refuses to do: know a method (that is `PEFTMethod`), a model (`Decoder`), MPI
// (`GradientReducer`), files of adapters and checkpoints (`Trainer+Saving`); allocate memory in a
// step; let ranks differ in anything, which is why each error here is thrown by all of them alike.

import DataParallel
import Datasets
import Diagnostics
import Files
import Kernels
import Model
import PEFT
import Tensors

/// Runs the steps of a prepared run.
///
/// The same global batch gives the same update to the last bit whatever the number of ranks and
/// threads: a micro-batch's gradient depends on the micro-batch alone, the reduction is exact, and
/// everything after it is computed by every rank from the same numbers. Ranks compare what they hold
/// in every step (`ReplicatedState`).
public final class Trainer {
  /// What the run is.
  let run: TrainingRun
  let reducer: GradientReducer
  /// What ranks compare in each step.
  let state: ReplicatedState
  let queue: MicroBatchQueue
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
  /// What this rank did of the steps.
  var balance = RankBalance()
  let arithmetic: DecoderArithmetic
  /// Tokens of the longest example.
  let maximumLength: Int
  package let memoryPlan: MemoryPlan
  /// Bytes of what sums gradients, or would.
  let reducerBytes: Int
  let profile: RunProfile?
  /// The best evaluation, of earlier starts too.
  var best: BestSoFar
  /// Seconds of each step of this start.
  var stepSeconds: [Double] = []
  var lastSavedStep: Int?
  /// Whether the run stops within the evaluation after its last step.
  var owesEvaluation = false
  /// Seconds that went into checkpoints.
  var savingSeconds = 0.0
  /// Why the last update was skipped.
  var lastCause = "its numbers are not finite"
  /// Skipped updates, and which checkpoint is good.
  var health: RunHealth
  let baseGuard: BaseGuard
  /// Called at the end of each step, before what is due after it: for measuring from outside.
  public var didEndStep: ((_ step: Int) -> Void)?

  /// One optimiser step: every micro-batch forward and backward, the reduction, the update.
  ///
  /// - Parameter step: the step's number, from 1.
  /// - Returns: figures of the step, equal on all ranks.
  /// - Throws: where MPI or a file fails, and on all ranks `MPIError.ranksDiffer` where their states
  ///   do and `TrainingError.diverged`.
  func step(_ step: Int) throws -> StepReport {
    let (arena, method, compute) = (run.attached.arena, run.attached.method, run.compute)
    var context = StepContext(
      step: step, totalSteps: learningRates.totalSteps, seed: run.configuration.seed,
      compute: compute)
    let globalBatch = run.schedule.batch(step: step)
    var report = StepReport(globalBatch, of: run.dataset.train, arithmetic: arithmetic)
    report.learningRate = learningRates.learningRate(step: step)
    guard report.countedTokens > 0 else {
      tokensSeen += report.tokens
      return report
    }
    RunProgress.enter(.gradients, step: step)
    let bytesBefore = run.communicator.reducedBytes

    compute.part(.method) { method.prepareStep(context) }
    totals.reset()
    queue.begin(globalBatch)
    let began = ContinuousClock.now
    var passes = 0
    var firstNonFinite: Int?
    while let index = queue.next() {
      // A rank that is asked to stop goes to the reduction at once, where all learn of it.
      if isTimeToStop {
        report.isCutShort = true
        break
      }
      let loss = try pass(microBatch: index, of: globalBatch)
      passes += 1
      totals.loss.add(loss)
      if !loss.isFinite || reducer.isLastNonFinite {
        firstNonFinite = min(firstNonFinite ?? index, index)
      }
    }
    balance.add(microBatches: passes, duration: .now - began)
    if run.communicator.worldSize > 1 {
      // What the last update left and this step's passes used.
      totals.stateHash = compute.part(.reduction) { state.hash() }
    }
    RunProgress.enter(.reduction)
    try waitForRanks()

    // Gradients and losses are sums over tokens; the division comes last, once, and exactly alike.
    let scale = 1 / Double(report.countedTokens)
    arena.clearDerivedGradients()
    let reduction = try compute.part(.reduction) {
      let summary = try reducer.finish(
        into: arena, scale: scale, microBatches: globalBatch.microBatchCount,
        isCutShort: report.isCutShort)
      if summary.isCutShort { return summary }
      totals.stopRequests = isTimeToStop ? 1 : 0
      try totals.reduce(over: run.communicator)
      return summary
    }
    report.isCutShort = reduction.isCutShort
    if report.isCutShort { return report }
    tokensSeen += report.tokens
    report.loss = totals.loss.value * scale
    report.isStopRequested = totals.stopRequests > 0
    report.reducedBytes = run.communicator.reducedBytes - bytesBefore
    if !totals.statesAgree { throw try state.difference("before the update of step \(step)") }
    RunProgress.enter(.update)
    if reduction.nonFiniteTensor != nil || !report.loss.isFinite {
      try skip(
        &report, globalBatch, firstNonFinite,
        tensor: reduction.nonFiniteTensor.map { arena.slots[$0].name })
      return report
    }
    compute.part(.method) { method.didReduceGradients(context) }
    report.gradientNorm = compute.part(.optimizer) { GradientClipping.norm(arena, on: compute) }
    if !report.gradientNorm.isFinite {
      // Finite gradients can have a sum that no float holds.
      try skip(&report, globalBatch, nil, tensor: nil)
      return report
    }
    health.take(gradientNorm: report.gradientNorm)
    warnOfVanishedGradient(step: step)

    updateCount += 1
    compute.part(.optimizer) {
      let clip = GradientClipping.factor(
        norm: report.gradientNorm, limit: run.configuration.maxGradientNorm)
      run.optimizer.update(
        step: updateCount, learningRate: report.learningRate, gradientScale: clip, on: compute)
      context.gradientScale = Float(clip)
      context.decay = Float(report.learningRate * run.configuration.weightDecay)
    }
    compute.part(.method) { method.didStep(context) }
    return report
  }

  /// A micro-batch forward and backward; its gradients go to the reducer.
  ///
  /// - Returns: the sum of its tokens' cross-entropies, in nats.
  func pass(microBatch index: Int, of globalBatch: GlobalBatch) throws -> Double {
    let (arena, compute, split) = (run.attached.arena, run.compute, run.dataset.train)
    try compute.part(.dataLoading) {
      try split.load(globalBatch.microBatch(index), into: examples)
      batch.fill(from: examples)
    }
    profile?.count(globalBatch.microBatch(index), of: split)
    arena.clearGradients()
    let pass = Pass(
      batch: batch, compute: compute,
      random: random.substream(UInt64(globalBatch.step)).substream(UInt64(index)),
      isTraining: true)
    let loss = run.decoder.forwardBackward(pass).loss
    compute.part(.reduction) { reducer.accumulate(arena) }
    return loss
  }

  /// All steps, with metrics, evaluations and checkpoints between them.
  ///
  /// - Returns: how the run ended, equal on all ranks.
  public func train() throws -> RunOutcome {
    let configuration = run.configuration
    let clock = ContinuousClock()
    let start = clock.now
    var step = run.start.completedSteps
    stepSeconds.reserveCapacity(min(learningRates.totalSteps - step, 1 << 20))
    if step == 0 { try answerSamples(step: 0) }
    if run.start.owesEvaluation {
      let ending = try conclude(
        step, evaluates: run.dataset.validation != nil, samples: true, saves: false)
      if let ending { return try end(ending, step: step, duration: clock.now - start) }
    }
    while step < learningRates.totalSteps {
      step += 1
      let began = clock.now
      profile?.begin(step: step)
      let report = try self.step(step)
      profile?.end()
      if report.isCutShort {
        return try end(.stoppedOnRequest, step: step - 1, duration: clock.now - start)
      }
      let seconds = (clock.now - began) / .seconds(1)
      throughput.add(report, seconds: seconds)
      stepSeconds.append(seconds)
      let isLast = step == learningRates.totalSteps
      let logs = isLast || isDue(configuration.loggingSteps, step) || report.countedTokens == 0
      show(report, logs: logs)
      didEndStep?(step)
      if logs { try log(report) }
      let evaluates =
        run.dataset.validation != nil && (isLast || isDue(configuration.evalSteps, step))
      if report.isStopRequested && !isLast {
        owesEvaluation = evaluates
        return try end(.stoppedOnRequest, step: step, duration: clock.now - start)
      }
      let ending = try conclude(
        step, evaluates: evaluates, samples: isLast || isDue(configuration.evalSteps, step),
        saves: isDue(configuration.saveSteps, step))
      if let ending { return try end(ending, step: step, duration: clock.now - start) }
    }
    return try end(.completed, step: step, duration: clock.now - start)
  }

  /// What is due after a step.
  ///
  /// - Returns: how the run ends here; nil where it goes on.
  private func conclude(
    _ step: Int, evaluates: Bool, samples: Bool, saves: Bool
  ) throws -> RunOutcome.Status? {
    let isLast = step == learningRates.totalSteps
    if isLast || evaluates || saves { try verifyState(step: step) }
    if evaluates {
      owesEvaluation = try !evaluateAndCompare(step: step)
      if owesEvaluation { return .stoppedOnRequest }
    }
    if samples { try answerSamples(step: step) }
    let isStopping = shouldStopEarly && !isLast
    if isLast || isStopping || saves { try save(step: step) }
    return isStopping ? .stoppedEarly : isLast ? .completed : nil
  }

  private func end(
    _ status: RunOutcome.Status, step: Int, duration: Duration
  ) throws -> RunOutcome {
    run.display?.finish()
    guard status == .stoppedOnRequest else {
      return try finish(status, step: step, duration: duration)
    }
    try verifyState(step: step)
    return try stop(step: step, duration: duration)
  }

  /// Compares what this step's update left, before it is evaluated, saved or published.
  private func verifyState(step: Int) throws { try state.verify("after step \(step)") }

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
    let room = MicroBatchRoom(configuration, run.dataset)
    let (tokens, sequences) = (room.tokens, room.sequences)
    maximumLength = room.longest
    let decoder = run.decoder
    // Before the workspace is there, which takes the memory that measuring gives back.
    throughput = Throughput(peak: try run.measurePeak())
    arithmetic = decoder.usefulArithmetic
    queue = try MicroBatchQueue(
      run.schedule, of: run.dataset.train, arithmetic: arithmetic, communicator: run.communicator)
    let arena = run.attached.arena
    let operands = decoder.largestOperands(maximumTokens: tokens, maximumSequences: sequences)
    let threadBytes = run.compute.byteCount(reserving: operands)
    let sumBytes = GradientReducer.byteCount(of: arena, microBatches: queue.mostMicroBatches)
    reducerBytes = sumBytes
    let answers = try run.communicator.together { try run.samples?.byteCount(decoder) }
    let plan = try run.communicator.together {
      if !run.isPlanned {
        try run.checkRoom(
          room, reducerBytes: sumBytes, threadBytes: threadBytes, answers: answers)
      }
      return try decoder.prepare(
        for: .training(recomputesActivations: configuration.recomputesActivations),
        maximumTokens: tokens, maximumSequences: sequences, maximumLength: room.longest)
    }
    for operand in operands where !run.isPlanned {
      run.compute.reserve(operandRows: operand.rows, columns: operand.columns)
    }
    batch = decoder.makeBatch(maximumTokens: tokens, maximumSequences: sequences)
    examples = ExampleBuffer(tokenCapacity: tokens, sequenceCapacity: sequences)
    // One that is never used keeps nothing.
    reducer = GradientReducer(
      arena: arena, communicator: run.communicator,
      microBatches: run.isPlanned ? 1 : queue.mostMicroBatches)
    state = ReplicatedState(
      arena: run.attached.arena, optimizer: run.optimizer, method: run.attached.method,
      communicator: run.communicator, compute: run.compute)
    best = run.start.best
    health = run.start.health.separate
    baseGuard = BaseGuard(
      run.decoder, sharers: run.sharers, communicator: run.communicator, compute: run.compute)
    memoryPlan = MemoryPlan(
      run, workspaceBytes: plan.byteCount, reducerBytes: reducerBytes,
      keptBytes: reducer.byteCount, threadBytes: threadBytes,
      answers: answers.map { max($0.workspace - plan.byteCount, 0) + $0.besides } ?? 0)
    metrics = try run.communicator.together {
      try run.output.map { output in
        try output.write(RunSettings.yaml(run.resolved), to: output.configurationPath)
        return try MetricsWriter(
          path: output.metricsPath,
          resumingAfter: run.start.completedSteps > 0 ? run.start.completedSteps : nil,
          repeatingEvaluation: run.start.owesEvaluation,
          eventDirectory: output.eventDirectory)
      }
    }
    validation = run.dataset.validation.map {
      Evaluation(
        split: $0, microBatchSize: room.evaluatedSequences, communicator: run.communicator)
    }
    profile =
      run.configuration.profiledSteps == 0
      ? nil
      : try RunProfile(
        count: run.configuration.profiledSteps, after: run.start.completedSteps,
        totalSteps: learningRates.totalSteps, arithmetic: arithmetic, compute: run.compute,
        communicator: run.communicator)
    countCompletedSteps()
    // Where it is there already, a stop before the next step need not write it again. Rank 0 knows,
    // and all must do the same.
    let isSaved = run.start.path.flatMap { path in
      run.output.map {
        OutputPlace.isSame(path, $0.checkpoints.path(step: run.start.completedSteps))
      }
    }
    let isSavedAnywhere = try run.communicator.allReduce(Int32(isSaved == true ? 1 : 0), .maximum)
    if isSavedAnywhere > 0, !run.start.owesEvaluation {
      lastSavedStep = run.start.completedSteps
    }
    try state.verify("before step \(run.start.completedSteps + 1)")
    try begin()
  }

  /// Gives the decoder the workspace of training again, after it has generated text.
  func prepareDecoder() throws(ModelError) -> WorkspacePlan {
    try run.decoder.prepare(
      for: .training(recomputesActivations: run.configuration.recomputesActivations),
      maximumTokens: batch.maximumTokens, maximumSequences: batch.maximumSequences,
      maximumLength: maximumLength)
  }

  /// What earlier starts of this run have seen, from the schedule alone.
  private func countCompletedSteps() {
    for step in 0..<run.start.completedSteps {
      let report = StepReport(
        run.schedule.batch(step: step + 1), of: run.dataset.train, arithmetic: arithmetic)
      tokensSeen += report.tokens
      updateCount += report.countedTokens > 0 ? 1 : 0
    }
    updateCount -= health.skipped
  }
}

extension TrainingRun {
  /// Trains to the end.
  ///
  /// - Returns: how the run ended, equal on all ranks.
  public func train() throws -> RunOutcome { try Trainer(self).train() }
}
