import Model

/// What a rank's memory was planned to be.
package struct MemoryPlan {
  /// The program and its libraries, as they were before the run opened anything.
  package let program: Int
  /// The base, mapped: one physical copy a node, yet it counts for each rank that reads it.
  package let base: Int
  /// Weights rounded to bf16, likewise one copy a node.
  package let rounded: Int
  /// Activations, gradients of them, and scratch.
  package let workspace: Int
  /// Trained values and gradients, the optimiser's moments, what the method keeps besides, the
  /// reduction's sums.
  package let training: Int
  /// The threads' own memory and the rounded operand that they share.
  package let threads: Int

  /// All of it, in bytes.
  package var total: Int { program + base + rounded + workspace + training + threads }

  init(_ run: TrainingRun, workspaceBytes: Int, reducerBytes: Int) {
    program = run.memoryAtStart
    base = run.decoder.parameters.reduce(0) { $0 + $1.storedBytes }
    rounded = run.roundedBytes
    workspace = workspaceBytes
    training =
      run.attached.arena.byteCount + run.attached.method.byteCount + run.optimizer.byteCount
      + reducerBytes
    threads = run.compute.byteCount
  }
}
