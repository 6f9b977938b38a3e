import DataParallel
import Model
import PEFT
import Tensors

extension TrainingRun {
  /// What passes reserve; nothing is allocated, and the decoder must be prepared before the next pass.
  func workspacePlan(
    _ batches: MicroBatchRoom, recomputing: Bool
  ) throws(ModelError) -> WorkspacePlan {
    try decoder.prepare(
      for: .training(recomputesActivations: recomputing), maximumTokens: batches.tokens,
      maximumSequences: batches.sequences, maximumLength: batches.longest, isPlanned: true)
  }

  /// Refuses steps that no memory of this node holds, before any of it is asked for.
  ///
  /// - Parameters:
  ///   - batches: the largest micro-batches.
  ///   - reducerBytes: of what sums gradients.
  ///   - threadBytes: of the threads.
  ///   - answers: what answering sample prompts takes, of the decoder's workspace and besides.
  func checkRoom(
    _ batches: MicroBatchRoom, reducerBytes: Int, threadBytes: Int,
    answers: (workspace: Int, besides: Int)?
  ) throws {
    let plan = try workspacePlan(batches, recomputing: configuration.recomputesActivations)
    let workspace = max(plan.byteCount, answers?.workspace ?? 0)
    let adapter = attached.arena.byteCount + optimizer.byteCount
    let method = attached.method.byteCount
    let parts = [
      MemoryPart("activations", workspace),
      MemoryPart("values, gradients and moments", adapter, present: adapter),
      MemoryPart("the method's own matrices", method, present: method),
      MemoryPart("sums of gradients", reducerBytes),
      MemoryPart("threads", threadBytes, present: compute.byteCount),
      MemoryPart("answers to sample prompts", answers?.besides ?? 0),
    ]
    let own = parts.reduce(0) { $0 + $1.byteCount }
    let shortage = room.shortage(of: parts) { fits in
      MemoryWays(
        own: own, workspace: workspace,
        recomputed: configuration.recomputesActivations
          ? nil : try? workspacePlan(batches, recomputing: true).byteCount,
        training: adapter + method + reducerBytes,
        trainsAll: attached.method is FullFineTuning, ranks: communicator.localSize,
        isQuantizable: isQuantizable
      ).list(fits)
    }
    if let shortage { throw shortage }
  }

  /// Whether `--quantize-base` could make the base smaller.
  var isQuantizable: Bool {
    configuration.baseQuantization == nil
      && !decoder.parameters.contains { $0.storedFormat.isQuantized }
  }
}
