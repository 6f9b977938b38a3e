import Foundation
import JSON
import Reporting

/// A comparison as a table, and as a page for readers who were not there.
public struct ComparisonReport {
  /// The comparison.
  public let comparison: Comparison

  /// Reports on a comparison.
  public init(_ comparison: Comparison) { self.comparison = comparison }

  private typealias Cell = ReportTable.Cell

  private var hasScore: Bool {
    comparison.baseScore != nil || comparison.methods.contains { $0.score != nil }
  }

  /// A row for each method, with the same columns whatever was measured.
  public var table: ReportTable { table(isForPage: false) }

  private func table(isForPage: Bool) -> ReportTable {
    var table = ReportTable(columns: [
      .init("method", "Method"),
      .init("learning_rate", "Learning rate", isNumeric: true),
      .init("trainable_parameters", "Trainable parameters", isNumeric: true),
      .init("total_parameters", "All parameters", isNumeric: true, isShown: false),
      .init("trainable_percent", "Share", isNumeric: true),
      .init("allreduce_bytes_per_step", "Allreduced a step", isNumeric: true),
      .init("seconds_per_step", "Seconds a step", isNumeric: true),
      .init("peak_memory_bytes", "Peak memory", isNumeric: true),
      .init("steps", "Steps", isNumeric: true, isShown: false),
      .init("train_loss", "Training loss", isNumeric: true),
      .init("eval_loss", "Evaluation loss", isNumeric: true),
      .init("exact_match", "Exact answers", isNumeric: true, isShown: hasScore),
      .init("score_correct", "Correct", isNumeric: true, isShown: false),
      .init("score_questions", "Questions", isNumeric: true, isShown: false),
      .init("error", "Error", isShown: false),
    ])
    for row in comparison.methods { table.append(cells(row)) }
    if isForPage, let loss = comparison.baseLoss {
      table.append(baseCells(loss))
    }
    return table
  }

  private func cells(_ row: MethodFigures) -> [Cell] {
    [
      Cell(row.method, note: row.failure == nil ? "" : "failed"), rate(row.learningRate),
      count(row.trainableParameters), count(row.totalParameters), share(row),
      bytes(row.allreduceBytes), number(row.secondsPerStep, digits: 3),
      bytes(row.peakMemoryBytes),
      row.steps.map { Cell("\($0)") } ?? .none,
      number(row.trainLoss, decimals: 4), number(row.evalLoss, decimals: 4), score(row.score),
      row.score.map { Cell("\($0.correct)") } ?? .none,
      row.score.map { Cell("\($0.count)") } ?? .none,
      row.failure.map { Cell($0) } ?? Cell(raw: "", shown: ""),
    ]
  }

  private func baseCells(_ loss: Double) -> [Cell] {
    [
      Cell("the base, untrained"), .none, .none, .none, .none, .none, .none, .none, .none, .none,
      number(loss, decimals: 4), score(comparison.baseScore), .none, .none,
      Cell(raw: "", shown: ""),
    ]
  }

  private func rate(_ value: Double) -> Cell {
    Cell(raw: "\(value)", shown: Figure.compactExponent(value))
  }

  private func count(_ value: Int?) -> Cell {
    value.map { Cell(raw: "\($0)", shown: Figure.grouped($0)) } ?? .none
  }

  private func bytes(_ value: Int?) -> Cell {
    value.map { Cell(raw: "\($0)", shown: Figure.bytes($0)) } ?? .none
  }

  private func number(_ value: Double?, digits: Int? = nil, decimals: Int = 4) -> Cell {
    guard let value, value.isFinite else { return .none }
    let shown =
      digits.map { Figure.significant(value, digits: $0) }
      ?? String(format: "%.\(decimals)f", value)
    return Cell(raw: "\(value)", shown: shown)
  }

  private func share(_ row: MethodFigures) -> Cell {
    guard let trainable = row.trainableParameters, let total = row.totalParameters else {
      return .none
    }
    let percent = 100 * Double(trainable) / Double(max(total, 1))
    return Cell(raw: "\(percent)", shown: Figure.significant(percent, digits: 3) + " %")
  }

  private func score(_ score: MethodFigures.Score?) -> Cell {
    score.map {
      Cell(
        raw: "\($0.share)", shown: String(format: "%.1f %%", 100 * $0.share),
        note: "\($0.correct) of \($0.count)")
    } ?? .none
  }
}

extension ComparisonReport {
  /// The page.
  public var html: String {
    let c = comparison
    let name = URL(fileURLWithPath: c.model).lastPathComponent
    var page = ReportPage(
      title: "Fine-tuning methods compared", lead: lead(name))
    page.add("Figures", table(isForPage: true).html, note: legend)
    let chart = hasValidation ? qualityChart : ""
    if !chart.isEmpty {
      page.add(
        "What a parameter buys", chart,
        note: "Each point is a method: farther left trains fewer parameters, lower predicts the "
          + "held-out data better.")
    }
    let curves = lossChart
    if !curves.isEmpty {
      page.add(
        "Training loss", curves,
        note: "Mean cross-entropy of a global batch over the tokens that count, before the update, "
          + "as logged. All methods saw the same batches in the same order.")
    }
    if !c.failed.isEmpty {
      page.add(
        "What failed", ReportPage.list(c.failed.map { ($0.method, $0.failure ?? "") }))
    }
    page.add("The runs", ReportPage.list(facts))
    return page.html
  }

  private var hasValidation: Bool { comparison.methods.contains { $0.evalLoss != nil } }

  /// What was done, in a sentence or two, and what came out best.
  private func lead(_ name: String) -> String {
    let c = comparison
    let data = URL(fileURLWithPath: c.data).lastPathComponent
    var text =
      "\(c.methods.count) way\(c.methods.count == 1 ? "" : "s") to fine-tune \(name) (\(c.base)) on \(data), each given the same "
      + "\(Figure.grouped(c.totalSteps)) steps of \(c.globalBatchSize) sequences."
    let finished = c.methods.filter { $0.evalLoss?.isFinite ?? false }
    if let best = finished.min(by: { ($0.evalLoss ?? 0) < ($1.evalLoss ?? 0) }),
      let loss = best.evalLoss
    {
      text += " Lowest evaluation loss: \(best.method), \(String(format: "%.4f", loss))"
      text += c.baseLoss.map { " (untrained: \(String(format: "%.4f", $0)))." } ?? "."
    }
    return text
  }

  private var legend: String {
    var text =
      "Share: trainable parameters of all, base and adapter together. Allreduced: what one rank hands "
      + "to MPI reductions in a step. Seconds: median of the steps, the first three left out. "
    text +=
      comparison.peaksAreOwn
      ? "Peak memory: the most that a rank held while this method was trained, the mapped base "
        + "included. "
      : "Peak memory: the most that a rank held up to the end of this row; this system does not let "
        + "a process count it anew, so a row may show an earlier one's. "
    text += "Training loss: mean of the last tenth of the logged steps. "
    if hasScore {
      text +=
        "Exact answers: held-out prompts whose greedy answer equals the reference token for token."
    }
    return text
  }

  private var qualityChart: String {
    let points = comparison.methods.enumerated().compactMap { index, row in
      row.trainableParameters.flatMap { parameters in
        row.evalLoss.map {
          PointChart.Point(name: row.method, style: index, x: Double(parameters), y: $0)
        }
      }
    }
    return PointChart(
      x: "trainable parameters", y: "evaluation loss", points: points,
      reference: comparison.baseLoss.map { ("the base, untrained", $0) }
    ).svg
  }

  private var lossChart: String {
    LineChart(
      x: "step", y: "training loss",
      series: comparison.methods.enumerated().map { index, row in
        LineChart.Series(
          name: row.method, style: index, points: row.curve.map { (Double($0.step), $0.loss) })
      }
    ).svg
  }

  private var facts: [(name: String, value: String)] {
    let c = comparison
    var facts = [
      ("Base model", c.model), ("Dataset", c.data),
      (
        "Processes",
        "\(c.worldSize) MPI rank\(c.worldSize == 1 ? "" : "s") of \(c.threads) thread\(c.threads == 1 ? "" : "s")"
      ), ("Arithmetic of the base", c.precision), ("Seed", "\(c.seed)"),
      ("Program", "swift-peft-train \(ProgramVersion.text)"),
    ]
    let hidden: Set = ["method", "learning_rate", "seed", "precision"]
    let common = c.methods.first.map { first in
      first.settings.filter { key, value in
        !hidden.contains(key) && c.methods.allSatisfy { $0.settings[key] == value }
      }
    }
    func text(_ settings: [String: JSONValue]) -> String {
      settings.sorted { $0.key < $1.key }
        .map { "\($0.key) \($0.value.string ?? $0.value.text())" }.joined(separator: ", ")
    }
    if let common, !common.isEmpty { facts.append(("Shared settings", text(common))) }
    for row in c.methods {
      let own = row.settings.filter { !hidden.contains($0.key) && common?[$0.key] == nil }
      if !own.isEmpty { facts.append(("Settings of \(row.method)", text(own))) }
    }
    return facts
  }
}
