import Model

/// What a rank's memory was planned to be.
package struct MemoryPlan {
  /// The process itself: heap, stacks, MPI, the model's small tensors, buffers of examples.
  package internal(set) var program: Int
  /// Pages of the program's file and its libraries', which all processes of a node share.
  package let libraries: Int
  /// The base, mapped: one physical copy a node, yet it counts for each rank that reads it.
  package let base: Int
  /// Weights rounded to bf16, likewise one copy a node.
  package let rounded: Int
  /// Activations, gradients of them, and scratch.
  package let workspace: Int
  /// Trained values and gradients, the optimiser's moments, what the method keeps besides, the
  /// reduction's sums.
  package internal(set) var training: Int
  /// The threads' own memory and the rounded operand that they share.
  package let threads: Int
  /// What answering sample prompts takes at a time besides: cached keys and values, logits, and what
  /// the answers' activations need more than training's.
  package let answers: Int

  /// All of it, in bytes.
  package var total: Int { own + libraries + base + rounded }
  /// What no other rank shares.
  package var own: Int { program + workspace + training + threads + answers }

  /// What a run takes that has allocated all that its steps need.
  ///
  /// What a run reserves is known. What the process takes besides is measured, as what is resident
  /// less that: in a run that begins, and better where steps have been computed. Of a run that is only
  /// planned nothing but what sums gradients and the threads is there.
  ///
  /// - Parameters:
  ///   - reducerBytes: of what sums gradients.
  ///   - keptBytes: of it, what is there.
  ///   - threadBytes: of the threads, with the operand that they share.
  ///   - answers: what answering sample prompts takes besides.
  init(
    _ run: TrainingRun, workspaceBytes: Int, reducerBytes: Int, keptBytes: Int, threadBytes: Int,
    answers: Int
  ) {
    let decoder = run.decoder
    base = decoder.residentBaseBytes
    rounded = run.roundedBytes
    workspace = workspaceBytes
    training =
      run.attached.arena.byteCount + run.attached.method.byteCount + run.optimizer.byteCount
      + reducerBytes
    threads = threadBytes
    let present =
      run.isPlanned
      ? keptBytes + run.compute.byteCount : workspace + training + threads
    self.answers = answers
    if let resident = ResidentMemory.ofThisProcess, let held = BaseMemory.resident(decoder) {
      libraries = max(resident.files - held.files, 0)
      program = max(resident.others - held.others - present, 0)
    } else {
      (program, libraries) = (run.memoryAtStart, 0)
    }
  }
}
