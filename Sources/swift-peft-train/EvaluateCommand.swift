import ArgumentParser
import DataParallel
import Datasets
import Foundation
import JSON
import Kernels
import Logging
import Model
import Training

/// `evaluate`: the loss of a base, with or without an adapter, on a split of a dataset.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Loss and perplexity of base (+ adapter) on a dataset.")

  @OptionGroup var model: ModelOptions
  @Option(help: ArgumentHelp("HDF5 dataset", valueName: "FILE")) var data: String
  @Option(help: ArgumentHelp("train or validation", valueName: "NAME"))
  var split: SplitName = .validation
  @Flag(help: "Print one JSON object on standard output") var json = false
  @Flag(help: "Let every rank log, not rank 0 alone") var logAllRanks = false

  /// Sequences in one forward: enough to use the weights well, little memory.
  private static let microBatchSize = 8

  func run() throws {
    Job.run(logsAllRanks: logAllRanks) { communicator, logger in
      let share = try ProcessorShare(communicator: communicator)
      let compute = Compute(threads: model.threads ?? share.threads)
      try model.withModel(communicator) { decoder in
        let figures = try evaluate(decoder, compute, communicator, logger)
        if communicator.rank == 0 { report(figures) }
      }
    }
  }

  private func evaluate(
    _ decoder: Decoder, _ compute: Compute, _ communicator: Communicator, _ logger: Logger
  ) throws -> Evaluation.Figures {
    let size = Self.microBatchSize
    let (split, batch) = try communicator.together {
      let split = try TokenDataset(
        path: data, modelVocabularySize: decoder.configuration.vocabularySize,
        maxLength: decoder.configuration.maximumPositions - decoder.virtualTokenCount
          - decoder.positionOffset
      ).split(self.split)
      let tokens = split.maximumTokenCount(ofExamples: size)
      _ = try decoder.prepare(
        for: .inference, maximumTokens: tokens, maximumSequences: size,
        maximumLength: split.maximumTokenCount(ofExamples: 1))
      return (split, decoder.makeBatch(maximumTokens: tokens, maximumSequences: size))
    }
    if split.cutExampleCount > 0 {
      logger.warning("\(split.cutExampleCount) examples were cut to the model's length")
    }
    let evaluation = Evaluation(split: split, microBatchSize: size, communicator: communicator)
    let examples = ExampleBuffer(tokenCapacity: batch.maximumTokens, sequenceCapacity: size)
    return try evaluation.run(decoder, batch: batch, examples: examples, compute: compute)
  }

  private func report(_ figures: Evaluation.Figures) {
    if json {
      let value: JSONValue = [
        "loss": .double(figures.loss), "perplexity": .double(figures.perplexity),
        "tokens": .int(figures.tokens), "examples": .int(figures.examples),
        "accuracy": .double(figures.accuracy),
      ]
      print(value.text())
    } else {
      let loss = String(format: "%.5f", figures.loss)
      let perplexity = String(format: "%.4f", figures.perplexity)
      print(
        "\(split) split: loss \(loss), perplexity \(perplexity), over \(figures.tokens) tokens of "
          + "\(figures.examples) examples")
    }
  }
}

extension SplitName: ExpressibleByArgument {}
