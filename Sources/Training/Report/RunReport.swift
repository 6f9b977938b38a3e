import Foundation
import JSON
import Reporting

/// A run as a page for readers who were not there, and as text for a terminal.
///
/// ```swift
/// let history = try RunHistory(directory: "runs/lora")
/// let html = RunReport(history, directory: "runs/lora").html
/// ```
public struct RunReport {
  let history: RunHistory
  let directory: String
  /// The lines of `config.yaml`.
  private let settings: [(name: String, value: String)]

  /// Reports on what a directory holds.
  ///
  /// - Parameters:
  ///   - history: what its `metrics.jsonl` says.
  ///   - directory: the output directory, as it is shown.
  ///   - configuration: the text of its `config.yaml`.
  public init(_ history: RunHistory, directory: String, configuration: String) {
    self.history = history
    self.directory = directory
    settings = configuration.split(separator: "\n").compactMap { line in
      guard let colon = line.firstIndex(of: ":"), line.first != "#" else { return nil }
      let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
      return (String(line[..<colon]), value.trimmingCharacters(in: ["\""]))
    }
  }

  func setting(_ name: String) -> String? { settings.first { $0.name == name }?.value }
  var method: String { history.run["method"]?.string ?? setting("method") ?? "?" }
  private static let demo = "the demo's base"
  /// Its path; runs of the demo by earlier releases do not say it.
  var base: String { setting("model") ?? history.run["base"]?.string ?? Self.demo }
  private var baseName: String {
    setting("model").map { URL(fileURLWithPath: $0).lastPathComponent } ?? Self.demo
  }

  // MARK: Figures

  private func decimals(_ value: Double?) -> String {
    value.map { $0.isFinite ? String(format: "%.4f", $0) : "not finite" } ?? "–"
  }

  private var status: String {
    switch history.end["status"]?.string {
    case "completed": "finished"
    case "stopped_on_request": "stopped on request; goes on with --resume"
    case let other?: other.replacing("_", with: " ")
    case nil: "not at its end"
    }
  }

  private var lastStep: Int {
    history.end["step"]?.int ?? history.steps.last?.number ?? 0
  }

  private var bestEvaluation: RunHistory.Step? {
    history.evaluations.filter { $0.value("eval_loss")?.isFinite ?? false }
      .min { ($0.value("eval_loss") ?? 0) < ($1.value("eval_loss") ?? 0) }
  }

  /// Mean training loss over the last tenth of the logged steps.
  private var trainingLoss: Double? {
    let tail = history.steps.filter { 10 * $0.number > 9 * lastStep }.compactMap {
      $0.value("loss")
    }
    return tail.isEmpty ? nil : tail.reduce(0, +) / Double(tail.count)
  }

  private func parameters() -> (count: String, share: String)? {
    guard let trained = history.run["trainable_parameters"]?.int,
      let all = history.run["total_parameters"]?.int, all > 0
    else { return nil }
    let share = Figure.significant(100 * Double(trained) / Double(all), digits: 3)
    return (Figure.grouped(trained), "\(share) % of \(Figure.grouped(all))")
  }

  private var places: String {
    func some(_ name: String, _ one: String) -> String {
      let count = history.run[name]?.int ?? 1
      return "\(count) \(one)\(count == 1 ? "" : "s")"
    }
    return
      "\(some("world_size", "rank")) of \(some("threads", "thread")) on \(some("nodes", "node"))"
  }

  private var tiles: [(name: String, value: String, note: String)] {
    var tiles: [(name: String, value: String, note: String)] = []
    if let first = history.steps.first?.value("loss") {
      tiles.append(("Training loss", decimals(trainingLoss), "first \(decimals(first))"))
    }
    if let best = bestEvaluation {
      tiles.append(
        ("Evaluation loss", decimals(best.value("eval_loss")), "best, at step \(best.number)"))
    }
    tiles.append(
      (
        "Steps", Figure.grouped(lastStep),
        history.run["total_steps"]?.int.map { "of \(Figure.grouped($0))" } ?? ""
      ))
    if let parameters = parameters() {
      tiles.append(("Trained", parameters.count, parameters.share))
    }
    let speed =
      history.end["tokens_per_second"]?.double ?? history.steps.last?.value("tokens_per_second")
    if let speed {
      let share = history.end["share_of_peak"]?.double ?? history.steps.last?.value("share_of_peak")
      tiles.append(
        (
          "Tokens a second", Figure.significant(speed, digits: 3),
          share.map { "\(percent($0)) of the processors' peak" } ?? ""
        ))
    }
    if let peak = history.end["peak_memory_bytes"]?.int {
      tiles.append(
        (
          "Memory of a rank", Figure.bytes(peak),
          history.end["planned_memory_bytes"]?.int.map { "planned \(Figure.bytes($0))" } ?? ""
        ))
    }
    let shares = ranks.map(\.share)
    if let least = shares.min(), let most = shares.max() {
      let mean = shares.reduce(0, +) / Double(shares.count)
      tiles.append(
        (
          "Ranks compute", percent(mean),
          "of the steps' time; \(percent(least)) to \(percent(most))"
        ))
    }
    if let seconds = history.end["seconds"]?.double {
      tiles.append(
        (
          "Time", Figure.duration(seconds: seconds),
          history.startCount > 1 ? "of the last start" : ""
        ))
    }
    return tiles
  }

  private var lead: String {
    var text = "\(method) on \(baseName): \(status)"
    text += lastStep > 0 ? " after step \(Figure.grouped(lastStep))." : "."
    let losses = history.evaluations.compactMap { $0.value("eval_loss") }
    if losses.count > 1, let first = losses.first, let last = losses.last {
      text += " Evaluation loss \(decimals(first)) at first, \(decimals(last)) at last."
    }
    return text
  }

  // MARK: The page

  /// The page.
  public var html: String {
    var page = ReportPage(title: URL(fileURLWithPath: directory).lastPathComponent, lead: lead)
    page.add("Figures", ReportPage.tiles(tiles))
    let loss = LineChart(
      x: "step", y: "loss",
      series: [
        .init(name: "training", style: 0, points: history.curve("loss")),
        .init(name: "evaluation", style: 1, points: history.evaluationCurve("eval_loss")),
      ]
    ).svg
    if !loss.isEmpty {
      page.add(
        "Loss", loss,
        note: "Mean cross-entropy in nats over the tokens that count: of a global batch before its "
          + "update, and of the whole validation split.")
    }
    for (heading, name, note) in Self.charts {
      let points = history.curve(name)
      guard points.count > 1 else { continue }
      let chart = LineChart(
        x: "step", y: heading.lowercased(), series: [.init(name: method, style: 0, points: points)],
        scale: name == "learning_rate" ? .linear : nil)
      page.add(heading, chart.svg, note: note)
    }
    if !history.evaluations.isEmpty { page.add("Evaluations", evaluationTable.html) }
    if !history.samples.isEmpty {
      page.add("Samples", sampleTable.html, note: "Greedy answers, 64 tokens at most.")
    }
    if !history.events.isEmpty {
      page.add(
        "Events",
        ReportPage.list(
          history.events.suffix(50).map { event in
            let details = event.line.filter { $0.key != "event" }.sorted { $0.key < $1.key }
            return (
              event.name,
              details.map { "\($0.key) \($0.value.string ?? $0.value.text())" }
                .joined(separator: ", ")
            )
          }))
    }
    if FileManager.default.fileExists(atPath: directory + "/adapter") {
      page.add("How to use it", usage)
    }
    if !data.isEmpty { page.add("Data", ReportPage.list(data)) }
    if !times.isEmpty {
      page.add("Time", ReportPage.list(times), note: "Of rank 0, which is in step with the others.")
    }
    if !ranks.isEmpty { page.add("Balance over ranks", balance.bars, note: balance.note) }
    page.add("Configuration", ReportPage.list(settings))
    page.add("Environment", ReportPage.list(environment))
    return page.html
  }

  private static let charts: [(heading: String, name: String, note: String)] = [
    ("Learning rate", "learning_rate", ""),
    ("Gradient norm", "grad_norm", "Norm of the whole gradient before it is clipped."),
    ("Tokens a second", "tokens_per_second", "Since the step logged before; padding is no token."),
  ]

  private var evaluationTable: ReportTable {
    var table = ReportTable(columns: [
      .init("step", "Step", isNumeric: true), .init("epoch", "Epoch", isNumeric: true),
      .init("eval_loss", "Loss", isNumeric: true),
      .init("eval_perplexity", "Perplexity", isNumeric: true),
      .init("eval_accuracy", "Tokens predicted", isNumeric: true),
    ])
    for step in history.evaluations.suffix(200) {
      table.append([
        .init("\(step.number)", note: step.number == bestEvaluation?.number ? "best" : ""),
        .init(step.value("epoch").map { String(format: "%.2f", $0) } ?? "–"),
        .init(decimals(step.value("eval_loss"))),
        .init(step.value("eval_perplexity").map { Figure.significant($0, digits: 4) } ?? "–"),
        .init(step.value("eval_accuracy").map { String(format: "%.1f %%", 100 * $0) } ?? "–"),
      ])
    }
    return table
  }

  private var sampleTable: ReportTable {
    let answers = history.samples.flatMap(\.answers)
    let (first, last) = (answers.map(\.step).min() ?? 0, answers.map(\.step).max() ?? 0)
    var table = ReportTable(
      columns: [
        .init("prompt", "Prompt"), .init("before", first == 0 ? "Before" : "After step \(first)"),
        .init("after", "After step \(last)"),
      ], isProse: true)
    for sample in history.samples.prefix(50) {
      table.append([
        .init(sample.prompt), .init(sample.answers.first?.text ?? "–"),
        .init(sample.answers.count > 1 ? sample.answers.last?.text ?? "–" : "–"),
      ])
    }
    return table
  }

  private var environment: [(name: String, value: String)] {
    let run = history.run
    var facts = [
      ("Program", "swift-peft-train \(run["versions"]?["swift-peft-train"]?.string ?? "?")"),
      ("Processes", places), ("Arithmetic of the base", run["precision"]?.string ?? "?"),
      ("Instruction set", run["instruction_set"]?.string ?? "?"),
    ]
    if let library = run["versions"]?["mpi"]?.string { facts.append(("MPI", library)) }
    // Measured again after the last step.
    if let peak = (history.end["peak_flops_per_second"] ?? run["peak_flops_per_second"])?.double {
      facts.append(("Peak, measured", Figure.significant(peak / 1e9, digits: 3) + " GFLOP/s"))
    }
    facts.append(("Starts", "\(history.startCount)"))
    return facts
  }

  // MARK: The terminal

  /// The figures in lines of text, with the curve of the loss.
  public var plainText: [String] {
    var lines = [lead]
    let width = tiles.map(\.name.count).max() ?? 0
    for tile in tiles {
      let name = tile.name + String(repeating: " ", count: width - tile.name.count)
      lines.append("  \(name)  \(tile.value)\(tile.note.isEmpty ? "" : "  (\(tile.note))")")
    }
    for sample in history.samples.prefix(10) {
      lines.append("  sample  \(JSONText.quoted(sample.prompt))")
      for answer in Set([0, sample.answers.count - 1]).sorted().map({ sample.answers[$0] }) {
        lines.append("    step \(answer.step)  \(JSONText.quoted(answer.text))")
      }
    }
    lines += TextChart(title: "training loss", points: history.curve("loss")).lines()
    lines += TextChart(title: "evaluation loss", points: history.evaluationCurve("eval_loss"))
      .lines()
    return lines
  }
}
