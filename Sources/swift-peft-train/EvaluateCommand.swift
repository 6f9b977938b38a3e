import ArgumentParser
import DataParallel
import Datasets
import Foundation
import Generation
import JSON
import Kernels
import Logging
import Model
import Tensors
import Training

/// `evaluate`: the loss of a base, with or without an adapter, on a split of a dataset.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Loss and perplexity of base (+ adapter) on a dataset.")

  @OptionGroup var model: ModelOptions
  @Option(help: ArgumentHelp("HDF5 dataset", valueName: "FILE")) var data: String
  @Option(help: ArgumentHelp("train or validation", valueName: "NAME"))
  var split: SplitName = .validation
  @Flag(
    help: "Let the model answer each example's prompt too, and count the answers that are exact")
  var generate = false
  @Flag(help: "Print one JSON object on standard output") var json = false
  @Flag(help: "Let every rank log, not rank 0 alone") var logAllRanks = false

  /// Sequences in one forward: enough to use the weights well, little memory.
  private static let microBatchSize = 8

  func run() throws {
    Job.run(logsAllRanks: logAllRanks) { communicator, logger in
      try communicator.agreeOnConfiguration([
        "model": model.model, "adapter": model.adapter ?? "none", "data": data,
        "split": split.rawValue, "precision": model.precision.rawValue,
        "quantize_base": model.quantizeBase?.rawValue ?? "none", "generate": "\(generate)",
      ])
      try communicator.watch(timeout: 600)
      RunProgress.enter(.opening)
      try RankAgreement.program(communicator)
      let share = try ProcessorShare(communicator: communicator)
      let compute = try model.compute(share, communicator)
      try model.withModel(communicator, on: compute, warn: { logger.warning("\($0)") }) { decoder in
        let dataset = try communicator.together { try read(decoder) }
        try RankAgreement.dataset(dataset, communicator)
        let split = try communicator.together { try dataset.split(self.split) }
        let figures = try evaluate(decoder, split, compute, communicator, logger)
        let score =
          generate ? try answers(decoder, split, compute, communicator, logger) : nil
        if communicator.rank == 0 { report(figures, score) }
        if let examples = figures.nonFiniteExamples {
          try communicator.together {
            throw TrainingError.nonFiniteEvaluation(
              data: data, split: split.name.rawValue, examples: examples)
          }
        }
      }
    }
  }

  private func read(_ decoder: Decoder) throws -> TokenDataset {
    try TokenDataset(
      path: data, modelVocabularySize: decoder.configuration.vocabularySize,
      maxLength: decoder.configuration.maximumPositions - decoder.virtualTokenCount
        - decoder.positionOffset)
  }

  private func evaluate(
    _ decoder: Decoder, _ split: TokenSplit, _ compute: Compute, _ communicator: Communicator,
    _ logger: Logger
  ) throws -> Evaluation.Figures {
    let size = Self.microBatchSize
    let batch = try communicator.together {
      let tokens = split.maximumTokenCount(ofExamples: size)
      _ = try decoder.prepare(
        for: .inference, maximumTokens: tokens, maximumSequences: size,
        maximumLength: split.maximumTokenCount(ofExamples: 1))
      return decoder.makeBatch(maximumTokens: tokens, maximumSequences: size)
    }
    if split.cutExampleCount > 0 {
      logger.warning("\(split.cutExampleCount) examples were cut to the model's length")
    }
    let evaluation = Evaluation(split: split, microBatchSize: size, communicator: communicator)
    let examples = ExampleBuffer(tokenCapacity: batch.maximumTokens, sequenceCapacity: size)
    return try evaluation.run(decoder, batch: batch, examples: examples, compute: compute)
  }

  /// Greedy answers against the split's own, the questions dealt to the ranks.
  private func answers(
    _ decoder: Decoder, _ split: TokenSplit, _ compute: Compute, _ communicator: Communicator,
    _ logger: Logger
  ) throws -> AnswerExam.Result {
    let exam = try communicator.together {
      try AnswerExam(split, endTokens: try EndTokens.of(decoder))
    }
    let without = split.exampleCount - exam.questions.count
    if without > 0 {
      logger.warning(
        "\(without) examples have no prompt of two tokens or no answer, and are not asked")
    }
    return try exam.take(decoder, compute: compute, communicator: communicator)
  }

  private func report(_ figures: Evaluation.Figures, _ score: AnswerExam.Result?) {
    if json {
      var members: [String: JSONValue] = [
        "loss": .double(figures.loss), "perplexity": .double(figures.perplexity),
        "tokens": .int(figures.tokens), "examples": .int(figures.examples),
      ]
      if let score {
        members["exact_match"] = .double(score.share)
        members["exact_answers"] = .int(score.correct)
        members["answers"] = .int(score.count)
      }
      print(JSONValue.object(members).text())
    } else {
      let loss = String(format: "%.5f", figures.loss)
      let perplexity = String(format: "%.4f", figures.perplexity)
      print(
        "\(split) split: loss \(loss), perplexity \(perplexity), over \(figures.tokens) tokens of "
          + "\(figures.examples) examples")
      if let score {
        let share = String(format: "%.1f", 100 * score.share)
        print("answers: \(score.correct) of \(score.count) exact (\(share) %)")
      }
    }
  }
}

extension SplitName: ExpressibleByArgument {}
