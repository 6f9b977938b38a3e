import ArgumentParser
import DataParallel
import Datasets
import Diagnostics
import Files
import Foundation
import Generation
import JSON
import Kernels
import Logging
import Model
import Training

/// `evaluate`: the loss of a base, with or without adapters, on a split of a dataset.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Loss and perplexity of base (+ adapter) on a dataset.",
    discussion: """
      With several adapters base and adapters are compared in a table.

      --memorisation asks what a model retains of its training data: it is given the beginning of \
      examples (the prompt; of plain text the first half; 256 tokens at most) and goes on greedily. \
      Tokens that equal the example's own count up to the first that differs or is no target, 50 at most. 256 examples \
      at most, evenly spread, of the training split and of the validation split; base and adapters side \
      by side.
      """)

  @OptionGroup var model: BaseOptions
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Hugging Face adapter directories or HDF5 checkpoints", valueName: "PATH"))
  var adapter: [String] = []
  @Option(help: ArgumentHelp("HDF5 dataset", valueName: "FILE")) var data: String
  @Option(help: ArgumentHelp("train or validation", valueName: "NAME"))
  var split: SplitName = .validation
  @Flag(
    help: "Let the model answer each example's prompt too, and count the answers that are exact")
  var generate = false
  @Option(
    help: ArgumentHelp(
      "write each example's index, counted tokens and loss, an object a line", valueName: "FILE"))
  var perExample: String?
  @Flag(help: "Count the tokens of training and held-out examples that are continued verbatim")
  var memorisation = false
  @Flag(help: "Print one JSON object on standard output") var json = false
  @Flag(help: "Let every rank log, not rank 0 alone") var logAllRanks = false

  /// Sequences in one forward: enough to use the weights well, little memory.
  private static let microBatchSize = 8

  /// The base alone, or an adapter on it, with what was found.
  private struct Subject {
    let adapter: String?
    var figures: Evaluation.Figures
    var score: ExactMatchEvaluation.Result?
    var memorisation: [SplitName: MemorisationCheck.Result] = [:]
  }

  func run() throws {
    Job.run(style: LogStyle(logsAllRanks: logAllRanks)) { communicator, logger in
      try communicator.agreeOnConfiguration([
        "model": model.model, "adapter": adapter.joined(separator: "\n"), "data": data,
        "split": split.rawValue, "precision": model.precision.rawValue,
        "tokenizer": model.tokenizer ?? "none",
        "quantize_base": model.quantizeBase?.rawValue ?? "none", "generate": "\(generate)",
        "per_example": "\(perExample != nil)", "memorisation": "\(memorisation)",
      ])
      try communicator.watch(timeout: 600)
      RunProgress.enter(.opening)
      try RankAgreement.program(communicator)
      let share = try ProcessorShare(communicator: communicator)
      let compute = try model.compute(share, communicator)
      // Before anything is computed: where the result cannot be written, that is said at once.
      try communicator.together {
        if communicator.rank == 0, let perExample { _ = try OutputPlace(file: perExample) }
      }
      let output = ExampleOutput(namesAdapters: adapter.count > 1)
      var subjects: [Subject] = []
      let isComparison = adapter.count > 1 || memorisation
      let adapters: [String?] = (isComparison || adapter.isEmpty ? [nil] : []) + adapter
      for (index, path) in adapters.enumerated() {
        func warn(_ text: String) { if index == 0 { logger.warning("\(text)") } }
        try model.withModel(adapter: path, communicator, on: compute, warn: warn) { decoder in
          let dataset = try communicator.together { try read(decoder) }
          try RankAgreement.dataset(dataset, communicator)
          if let warning = try communicator.together({ try tokenizerWarning(dataset, decoder) }) {
            warn(warning)
          }
          let split = try communicator.together { try dataset.split(self.split) }
          if split.cutExampleCount > 0 {
            warn("\(split.cutExampleCount) examples were cut to the model's length")
          }
          var subject = Subject(
            adapter: path,
            figures: try evaluate(decoder, split, compute, communicator, output, adapter: path))
          if generate {
            subject.score = try answers(decoder, split, compute, communicator, warn: warn)
          }
          if memorisation {
            subject.memorisation = try verbatim(decoder, dataset, compute, communicator)
          }
          subjects.append(subject)
        }
      }
      if communicator.rank == 0 { report(subjects) }
      try communicator.together {
        if communicator.rank == 0, let perExample { try output.write(to: perExample) }
      }
      for subject in subjects {
        guard let examples = subject.figures.nonFiniteExamples else { continue }
        try communicator.together {
          throw TrainingError.nonFiniteEvaluation(
            data: data, split: split.rawValue, examples: examples)
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

  /// Refuses a dataset of another tokenizer than the model's, or the one that was named.
  private func tokenizerWarning(_ dataset: TokenDataset, _ decoder: Decoder) throws -> String? {
    try TokenizerAgreement.warning(
      dataset: dataset, modelDirectory: model.tokenizer ?? model.model,
      modelVocabularySize: decoder.configuration.vocabularySize)
  }

  private func evaluate(
    _ decoder: Decoder, _ split: TokenSplit, _ compute: Compute, _ communicator: Communicator,
    _ output: ExampleOutput, adapter: String?
  ) throws -> Evaluation.Figures {
    let size = Self.microBatchSize
    let batch = try communicator.together {
      let tokens = split.maximumTokenCount(ofExamples: size)
      _ = try decoder.prepare(
        for: .inference, maximumTokens: tokens, maximumSequences: size,
        maximumLength: split.maximumTokenCount(ofExamples: 1))
      return decoder.makeBatch(maximumTokens: tokens, maximumSequences: size)
    }
    let evaluation = Evaluation(split: split, microBatchSize: size, communicator: communicator)
    let shown = progress("evaluating \(adapter ?? "the base")", communicator)
    evaluation.progress = { shown($0, $1) }
    let examples = ExampleBuffer(tokenCapacity: batch.maximumTokens, sequenceCapacity: size)
    if perExample != nil {
      output.append(
        try evaluation.runByExample(decoder, batch: batch, examples: examples, compute: compute),
        adapter: adapter)
    }
    return try evaluation.run(decoder, batch: batch, examples: examples, compute: compute)
  }

  /// Says how far rank 0 is with its share of something.
  private func progress(
    _ what: String, _ communicator: Communicator
  ) -> (_ done: Int, _ total: Int) -> Void {
    guard communicator.rank == 0 else { return { _, _ in } }
    let line = ProgressLine(logInterval: 60)
    return { line.show(share: Double($0) / Double(max($1, 1)), detail: what) }
  }

  /// Greedy answers against the split's own, the questions dealt to the ranks.
  private func answers(
    _ decoder: Decoder, _ split: TokenSplit, _ compute: Compute, _ communicator: Communicator,
    warn: (String) -> Void
  ) throws -> ExactMatchEvaluation.Result {
    let evaluation = try communicator.together {
      try ExactMatchEvaluation(split, endTokens: try EndTokens.of(decoder))
    }
    let without = split.exampleCount - evaluation.examples.count
    if without > 0 {
      warn("\(without) examples have no prompt of two tokens or no answer, and are not asked")
    }
    let own = evaluation.examples.count / communicator.worldSize
    let shown = progress("answering", communicator)
    return try evaluation.run(decoder, compute: compute, communicator: communicator) {
      shown($0, own)
    }
  }

  private func verbatim(
    _ decoder: Decoder, _ dataset: TokenDataset, _ compute: Compute, _ communicator: Communicator
  ) throws -> [SplitName: MemorisationCheck.Result] {
    var results: [SplitName: MemorisationCheck.Result] = [:]
    for split in [dataset.train, dataset.validation].compactMap(\.self) {
      let check = try communicator.together { try MemorisationCheck(split) }
      let own = check.exampleCount / communicator.worldSize
      let shown = progress("continuing \(split.name)", communicator)
      results[split.name] = try check.run(
        decoder, compute: compute, communicator: communicator
      ) { shown($0, own) }
    }
    return results
  }

  // MARK: The report

  private func report(_ subjects: [Subject]) {
    guard let last = subjects.last else { return }
    if json {
      var members: [String: JSONValue]
      if adapter.count > 1 {
        members = [
          "split": .string(split.rawValue),
          "models": .array(
            subjects.map { subject in
              var members = self.members(subject.figures, subject.score)
              members["adapter"] = subject.adapter.map { .string($0) } ?? .null
              if memorisation { members["memorisation"] = self.members(subject.memorisation) }
              return .object(members)
            }),
        ]
      } else {
        members = self.members(last.figures, last.score)
        if memorisation {
          members["memorisation"] = .object(
            Dictionary(
              uniqueKeysWithValues: subjects.map {
                ($0.adapter == nil ? "base" : "adapter", self.members($0.memorisation))
              }))
        }
      }
      print(JSONValue.object(members).text())
      return
    }
    if adapter.count > 1 {
      print(
        EvaluationTable.losses(subjects.map { ($0.adapter, $0.figures, $0.score) }, split),
        terminator: "")
    } else {
      let loss = String(format: "%.5f", last.figures.loss)
      let perplexity = String(format: "%.4f", last.figures.perplexity)
      print(
        "\(split) split: loss \(loss), perplexity \(perplexity), over \(last.figures.tokens) tokens of "
          + "\(last.figures.examples) examples")
      if let score = last.score {
        let share = String(format: "%.1f", 100 * score.share)
        print("answers: \(score.correct) of \(score.count) exact (\(share) %)")
      }
    }
    if memorisation {
      print(
        EvaluationTable.memorisation(subjects.map { ($0.adapter, $0.memorisation) }), terminator: ""
      )
    }
  }

  private func members(
    _ figures: Evaluation.Figures, _ score: ExactMatchEvaluation.Result?
  ) -> [String: JSONValue] {
    var members: [String: JSONValue] = [
      "loss": .double(figures.loss), "perplexity": .double(figures.perplexity),
      "tokens": .int(figures.tokens), "examples": .int(figures.examples),
    ]
    if let score {
      members["exact_match"] = .double(score.share)
      members["exact_answers"] = .int(score.correct)
      members["answers"] = .int(score.count)
    }
    return members
  }

  private func members(_ results: [SplitName: MemorisationCheck.Result]) -> JSONValue {
    .object(
      Dictionary(
        uniqueKeysWithValues: results.map { name, result in
          (
            name.rawValue,
            [
              "examples": .int(result.examples), "tokens": .int(result.tokens),
              "verbatim_tokens": .int(result.verbatimTokens),
              "verbatim_share": .double(result.share), "whole_examples": .int(result.wholeExamples),
            ]
          )
        }))
  }
}

/// The lines of `--per-example`.
private final class ExampleOutput {
  private let namesAdapters: Bool
  private var lines: [String] = []

  init(namesAdapters: Bool) { self.namesAdapters = namesAdapters }

  func append(_ examples: [Evaluation.Example], adapter: String?) {
    for (index, example) in examples.enumerated() {
      let line: MetricsWriter.Line = [
        "index": .int(index), "tokens": .int(example.tokens),
        "loss": example.loss.map { .double($0) } ?? .null,
      ]
      lines.append(
        MetricsWriter.text(
          line, and: namesAdapters ? ["adapter": adapter.map { .string($0) } ?? .null] : [:]))
    }
  }

  func write(to path: String) throws {
    try PendingFile.write(lines.map { $0 + "\n" }.joined(), to: path)
  }
}

extension SplitName: ExpressibleByArgument {}
