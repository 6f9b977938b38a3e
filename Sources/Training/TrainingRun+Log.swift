import DataParallel
import Datasets
import Foundation
import Kernels
import Logging

extension TrainingRun {
  /// Says what the run is, before it starts.
  func logOpening(processors: ProcessorShare, isBound: Bool) {
    let threads = compute.threadCount
    let base = decoder.configuration
    let bytes = decoder.parameters.reduce(0) { $0 + $1.storedBytes }
    logger.info(
      "base       \(basePath): \(base.modelType), \(grouped(decoder.parameterCount)) parameters, \(megabytes(bytes))"
    )
    for warning in decoder.warnings { logger.warning("\(warning)") }
    if roundedBytes > 0 {
      logger.info(
        "the base's weights are not stored in bf16: \(megabytes(roundedBytes)) of them rounded once a node"
      )
    }
    let counts = attached.parameterCounts(decoder)
    let share = 100 * Double(counts.trainable) / Double(max(counts.total, 1))
    logger.info(
      "method     \(attached.method.name), \(grouped(counts.trainable)) trainable parameters (\(String(format: "%.3f", share)) % of \(grouped(counts.total)))"
    )
    for note in notes { logger.warning("\(note)") }
    logSplit(dataset.train)
    if let validation = dataset.validation { logSplit(validation) }
    let batch = configuration.globalBatchSize
    let first = schedule.batch(step: 1)
    let (microBatches, ranks) = (first.microBatchCount, communicator.worldSize)
    let size =
      configuration.microBatchTokens.map { " of at most \($0) tokens" } ?? ""
    logger.info(
      "steps      \(schedule.totalSteps) of \(batch) sequences in \(microBatches) micro-batches\(size), about \((microBatches + ranks - 1) / ranks) a rank"
    )
    if microBatches < ranks {
      let option =
        configuration.microBatchTokens == nil ? "--micro-batch-size" : "--micro-batch-tokens"
      logger.warning(
        "\(ranks - microBatches) of \(ranks) ranks have nothing to do: a step has \(microBatches) micro-batches. Raise --global-batch-size or lower \(option)."
      )
    }
    logger.info(
      "ranks      \(ranks) x \(threads) thread\(threads == 1 ? "" : "s") on \(communicator.nodeCount) node\(communicator.nodeCount == 1 ? "" : "s") (\(processors.nodeCores) cores allowed\(isBound ? ", bound to \(processors.coreList)" : ""))"
    )
    logger.info(
      "precision  \(decoder.precisionName), \(compute.instructionSet) kernels, \(compute.productName(decoder.arithmetic)) products"
    )
    if Set(instructionSets).count > 1 {
      logger.info("kernels: \(Communicator.ranks(by: instructionSets))")
    }
    if configuration.schedule == .constant
      && (configuration.warmupSteps > 0 || configuration.warmupRatio > 0)
    {
      logger.warning(
        "the schedule 'constant' has no warm-up; constant_with_warmup is the one that has")
    }
    logger.info("output     \(outputPath)")
  }

  private func logSplit(_ split: TokenSplit) {
    let label = "\(split.name)".padding(toLength: 10, withPad: " ", startingAt: 0)
    var line =
      "\(label) \(grouped(split.exampleCount)) examples, \(grouped(split.tokenCount)) tokens, \(grouped(split.countedTokenCount)) of them count in the loss"
    if split.cutExampleCount > 0, let maxLength = split.maxLength {
      line += "; \(grouped(split.cutExampleCount)) examples cut to \(maxLength) tokens"
    }
    if split.uncountedExampleCount > 0 {
      line += "; \(grouped(split.uncountedExampleCount)) examples without a token that counts"
    }
    logger.info("\(line)")
  }
}

extension Communicator {
  /// Logs on rank 0 what ranks want to warn of; called by all ranks.
  ///
  /// Each sentence once, with the first rank that says it where that is another.
  func warn(_ logger: Logger, _ warning: String?) throws(MPIError) {
    var said: Set<String> = [""]
    for (rank, text) in try allGather(warning ?? "").enumerated() where said.insert(text).inserted {
      logger.warning("\(rank == 0 ? "" : "rank \(rank): ")\(text)")
    }
  }
}

/// A number with its thousands apart.
func grouped(_ number: Int) -> String {
  let digits = String(number.magnitude)
  var text = ""
  for (index, digit) in digits.enumerated() {
    if index > 0 && (digits.count - index) % 3 == 0 { text += " " }
    text.append(digit)
  }
  return number < 0 ? "-" + text : text
}

/// Bytes in MiB (or KiB where there are few).
func megabytes(_ bytes: Int) -> String {
  bytes < 1 << 20
    ? String(format: "%.1f KiB", Double(bytes) / 1024)
    : String(format: "%.1f MiB", Double(bytes) / Double(1 << 20))
}
