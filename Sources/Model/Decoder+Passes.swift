import Kernels
import Tensors

extension Decoder {
  /// Forward and backward of a micro-batch.
  ///
  /// - Returns: the sum of cross-entropies over the scored tokens. The gradients of that *sum* are
  ///   added to what trains; dividing by the global batch's count is the caller's business.
  public func forwardBackward(_ pass: Pass) -> LossSum {
    let memory = prepared(training: true)
    guard pass.batch.targetCount > 0 else { return LossSum() }
    forward(pass, memory)
    let sum = pass.compute.part(.head) { score(pass, memory, isBackward: true) }
    backward(pass, memory)
    return sum
  }

  /// Forward of a micro-batch and its loss.
  public func evaluate(_ pass: Pass) -> LossSum {
    let memory = prepared(training: false)
    guard pass.batch.targetCount > 0 else { return LossSum() }
    forward(pass, memory)
    return pass.compute.part(.head) { score(pass, memory, isBackward: false) }
  }

  /// Logits of the rows in `rows` into `logits`, [rows, vocabulary].
  ///
  /// With a cache in the pass, the batch's one sequence continues it.
  public func logits(_ pass: Pass, rows: IndexView, into logits: MatrixView) {
    let memory = prepared(training: false)
    forward(pass, memory)
    let scored = memory.scored(rows: rows.count)
    let normed = memory.scoredNormed(rows: rows.count)
    Elementwise.gatherRows(
      memory.stream(parts.blocks.count, rows: pass.rowCount), rows: rows, into: scored,
      on: pass.compute)
    parts.finalNorm.forward(
      scored, into: normed, statistics: memory.scoredStatistics(rows: rows.count),
      on: pass.compute)
    for start in stride(from: 0, to: rows.count, by: HeadLoss.chunkRows) {
      let chunk = start..<min(start + HeadLoss.chunkRows, rows.count)
      head.forward(normed.rows(chunk), into: logits.rows(chunk), pass)
    }
    configuration.logitScaling.apply(logits, on: pass.compute)
    pass.cache?.advance(by: pass.rowCount)
  }

  // MARK: Forward

  private func forward(_ pass: Pass, _ memory: DecoderMemory) {
    let profiler = pass.compute.profiler
    profiler?.enter(.forward)
    for positions in memory.rotary { positions.prepare(for: pass) }
    pass.compute.part(.embedding) {
      embed(pass, memory, into: memory.stream(0, rows: pass.rowCount))
    }
    for (index, block) in parts.blocks.enumerated() {
      profiler?.enter(.forward, block: index)
      pass.compute.part(.block) {
        block.forward(
          memory.stream(index, rows: pass.rowCount),
          into: memory.stream(index + 1, rows: pass.rowCount), pass)
      }
    }
    profiler?.enter(.none)
  }

  /// Virtual rows, then each token's embedding, sequence by sequence, scaled; learned positions
  /// on top.
  private func embed(_ pass: Pass, _ memory: DecoderMemory, into x: MatrixView) {
    let batch = pass.batch
    for sequence in 0..<batch.sequenceCount {
      let (rows, virtual, tokens) = sequenceRanges(batch, sequence)
      if !virtual.isEmpty, let embeddingHook {
        x.rows(virtual).copy(from: embeddingHook.rows)
      }
      let own = x.rows(virtual.upperBound..<rows.upperBound)
      Embedding.forward(
        batch.tokens.slice(tokens), table: table.matrix, into: own, on: pass.compute)
      if let tableHook {
        pass.compute.part(.adapter) {
          tableHook.forward(
            own, tokens: batch.tokens.slice(tokens), tablePass(tableHook, own.rows, pass, memory))
        }
      }
      scale(own, by: configuration.tokenScale, pass)
    }
    scale(x, by: configuration.embeddingScale, pass)
    if let positions = parts.positions {
      Embedding.forward(
        batch.positions, table: positions.matrix, into: x, adding: true, on: pass.compute)
    }
  }

  private func scale(_ rows: MatrixView, by factor: Double, _ pass: Pass) {
    if factor != 1 { Elementwise.scale(rows, by: Float(factor), on: pass.compute) }
  }

  private func tablePass(
    _ hook: any TableHook, _ count: Int, _ pass: Pass, _ memory: DecoderMemory
  ) -> TablePass {
    TablePass(
      table: table, scratch: memory.hookScratch.view(rows: count, columns: hook.scratchColumns),
      rowCount: count, pass: pass)
  }

  /// Rows of a sequence, its virtual rows, and its tokens.
  private func sequenceRanges(_ batch: TokenBatch, _ sequence: Int)
    -> (rows: Range<Int>, virtual: Range<Int>, tokens: Range<Int>)
  {
    let rows = batch.rowOffsets[sequence]..<batch.rowOffsets[sequence + 1]
    let tokens = batch.tokenOffsets[sequence]..<batch.tokenOffsets[sequence + 1]
    return (rows, rows.lowerBound..<(rows.upperBound - tokens.count), tokens)
  }

  // MARK: Loss

  /// Final norm, head and cross-entropy of the scored rows alone.
  private func score(_ pass: Pass, _ memory: DecoderMemory, isBackward: Bool) -> LossSum {
    let (batch, compute) = (pass.batch, pass.compute)
    let count = batch.targetCount
    let last = memory.stream(parts.blocks.count, rows: pass.rowCount)
    let (scored, normed) = (memory.scored(rows: count), memory.scoredNormed(rows: count))
    let statistics = memory.scoredStatistics(rows: count)
    Elementwise.gatherRows(last, rows: batch.scoredRows, into: scored, on: compute)
    parts.finalNorm.forward(scored, into: normed, statistics: statistics, on: compute)

    var sum = LossSum()
    sum.targetCount = count
    let dNormed = memory.dScored(rows: isBackward ? count : 0)
    let isNeeded = isHiddenNeeded
    sum.loss = HeadLoss.forward(
      targets: batch.targets, vocabularySize: head.outputSize, wantsGradient: isBackward,
      scaling: configuration.logitScaling, scratch: memory.head, correct: &sum.correctCount,
      on: compute
    ) { rows, logits in
      head.forward(normed.rows(rows), into: logits, headPass(pass, rows))
    } backward: { rows, dLogits in
      head.backward(
        dLogits, input: normed.rows(rows), into: dNormed.rows(rows), adding: false,
        isNeeded: isNeeded, headPass(pass, rows))
    }
    guard isBackward && isNeeded else { return sum }

    // The normalised rows are not needed any more; their memory takes the gradient.
    parts.finalNorm.backward(
      dNormed, input: scored, statistics: statistics, into: normed, adding: false, on: compute)
    let gradient = memory.gradient(rows: pass.rowCount)
    gradient.fill(0)
    Elementwise.scatterRows(normed, rows: batch.scoredRows, addingTo: gradient, on: compute)
    return sum
  }

  /// The pass with random numbers of its own for each chunk of scored rows.
  private func headPass(_ pass: Pass, _ rows: Range<Int>) -> Pass {
    Pass(
      batch: pass.batch, compute: pass.compute,
      random: pass.random.substream(UInt64(rows.lowerBound)), isTraining: pass.isTraining,
      cache: pass.cache)
  }

  // MARK: Backward

  private func backward(_ pass: Pass, _ memory: DecoderMemory) {
    let rows = pass.rowCount
    let gradient = memory.gradient(rows: rows)
    let recomputes = memory.mode == .training(recomputesActivations: true)
    let (compute, profiler) = (pass.compute, pass.compute.profiler)
    for index in parts.blocks.indices.reversed() where index >= lowestTrainedBlock {
      let block = parts.blocks[index]
      let x = memory.stream(index, rows: rows)
      if recomputes {
        profiler?.enter(.recomputation, block: index)
        compute.part(.block) {
          block.forward(x, into: memory.stream(index + 1, rows: rows), pass)
        }
      }
      profiler?.enter(.backward, block: index)
      compute.part(.block) {
        block.backward(
          gradient, input: x, isNeeded: index > lowestTrainedBlock || embeddingTrains, pass)
      }
    }
    profiler?.enter(.backward)
    if embeddingTrains {
      compute.part(.embedding) { backwardEmbedding(gradient, pass, memory) }
    }
    profiler?.enter(.none)
  }

  private func backwardEmbedding(_ dx: MatrixView, _ pass: Pass, _ memory: DecoderMemory) {
    let batch = pass.batch
    if let gradient = parts.positions?.gradient {
      Embedding.backward(
        dx, tokens: batch.positions, addingTo: gradient, on: pass.compute)
    }
    scale(dx, by: configuration.embeddingScale, pass)
    for sequence in 0..<batch.sequenceCount {
      let (rows, virtual, tokens) = sequenceRanges(batch, sequence)
      if !virtual.isEmpty, let embeddingHook {
        embeddingHook.addGradient(dx.rows(virtual), on: pass.compute)
      }
      let (own, ids) = (
        dx.rows(virtual.upperBound..<rows.upperBound), batch.tokens.slice(tokens)
      )
      scale(own, by: configuration.tokenScale, pass)
      if let tableHook {
        pass.compute.part(.adapter) {
          tableHook.backward(own, tokens: ids, tablePass(tableHook, own.rows, pass, memory))
        }
      } else if let gradient = table.gradient {
        Embedding.backward(own, tokens: ids, addingTo: gradient, on: pass.compute)
      }
    }
  }

  private func prepared(training: Bool) -> DecoderMemory {
    guard let memory, !training || memory.mode.isTraining else {
      preconditionFailure("the decoder was not prepared for this kind of pass")
    }
    return memory
  }
}
