import Datasets
import Foundation
import Reporting
import Training

/// What `evaluate` found of several models, as tables for a terminal.
enum EvaluationTable {
  /// Losses and answers, a model a line.
  static func losses(
    _ rows: [(adapter: String?, figures: Evaluation.Figures, score: ExactMatchEvaluation.Result?)],
    _ split: SplitName
  ) -> String {
    let asks = rows.contains { $0.score != nil }
    var table = ReportTable(
      columns: [
        .init("model", "On \(split)"), .init("loss", "Loss", isNumeric: true),
        .init("perplexity", "Perplexity", isNumeric: true),
      ] + (asks ? [.init("answers", "Exact answers", isNumeric: true)] : []))
    for row in rows {
      table.append(
        [
          .init(row.adapter ?? "base"), .init(String(format: "%.5f", row.figures.loss)),
          .init(String(format: "%.4f", row.figures.perplexity)),
        ]
          + (asks ? [.init(row.score.map { "\($0.correct) of \($0.count)" } ?? "–")] : []))
    }
    return table.plainText(columns: Console.outputColumns)
  }

  /// Tokens and examples that are continued verbatim, a model a line.
  static func memorisation(
    _ rows: [(adapter: String?, results: [SplitName: MemorisationCheck.Result])]
  ) -> String {
    let names = SplitName.allCases.filter { name in rows.contains { $0.results[name] != nil } }
    var table = ReportTable(
      columns: [.init("model", "Continued verbatim")]
        + names.flatMap { name in
          [
            .init("\(name)_tokens", "tokens of \(name)", isNumeric: true),
            .init("\(name)_share", "share", isNumeric: true),
            .init("\(name)_whole", "whole examples", isNumeric: true),
          ]
        })
    for row in rows {
      var cells: [ReportTable.Cell] = [.init(row.adapter ?? "base")]
      for name in names {
        let result = row.results[name] ?? .init()
        cells += [
          .init("\(result.verbatimTokens) of \(result.tokens)"),
          .init(String(format: "%.1f %%", 100 * result.share)),
          .init("\(result.wholeExamples) of \(result.examples)"),
        ]
      }
      table.append(cells)
    }
    return table.plainText(columns: Console.outputColumns)
  }
}
