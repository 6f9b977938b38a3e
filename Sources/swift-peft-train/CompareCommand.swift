import ArgumentParser
import DataParallel
import Training

/// `compare`: every method on one dataset, with the same budget, in one table.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Train every method on one dataset; print and save the comparison table.",
    discussion: """
      Takes the options of train; all methods share them, but for learning rates and the methods' \
      own fields. A field given for all (--r 16) goes to the methods that have it; --set \
      METHOD.KEY=VALUE sets it for one, as does a section 'compare' of the YAML file:

        compare:
          methods: [lora, ia3]
          lora: {r: 16, learning_rate: 1e-3}

      Without --learning-rate each method has the rate that suits it on a base of that width. The \
      runs go to OUTPUT/METHOD; OUTPUT has compare.csv, compare.json and compare.html. With \
      --resume, methods that are finished are not trained again. A method that fails leaves the \
      others their rows; the exit status is then 1. Without --model and --data it compares on the \
      demo.
      """)

  @Option(
    help: ArgumentHelp("methods in the table's order (default: all)", valueName: "NAME,…"))
  var methods: String?
  @Option(
    help: ArgumentHelp("learning rates by method: lora=1e-3,ia3=1e-2", valueName: "METHOD=X,…"))
  var learningRates: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("a setting of one method: lora.r=16", valueName: "METHOD.KEY=VALUE"))
  var set: [String] = []
  @Option(
    help: ArgumentHelp(
      "held-out prompts to answer for the score; 0 = none (default: 200)", valueName: "N"))
  var maxScoreExamples: Int?
  @Flag(help: "Print one JSON object on standard output") var json = false
  @OptionGroup var options: TrainOptions

  func validate() throws {
    if let count = maxScoreExamples, count < 0 {
      throw ValidationError("--max-score-examples is \(count); give 0 or more.")
    }
  }

  func run() throws {
    let early = earlySettings
    let style = LogStyle(early)
    let mpi = early["mpi"]?.string.flatMap(MPIChoice.init) ?? .auto
    Job.run(style: style, mpi: mpi) { communicator, logger in
      let (settings, model, data) = try communicator.together {
        let settings = try self.settings()
        return (
          settings, try settings.shared["model"]?.string ?? Demo.locate().basePath,
          try settings.shared["data"]?.string ?? Demo.locate().dataPath
        )
      }
      let job = try MethodComparison(
        settings, model: model, data: data, communicator: communicator, logger: logger)
      job.display = style.display(rank: communicator.rank, logger: logger)
      let comparison = try job.run()
      if communicator.rank == 0 { print(comparison) }
      logger.notice("table and charts: \(job.outputPath)/compare.html")
      try communicator.together {
        if let first = comparison.failed.first {
          throw ComparisonError.methodsFailed(
            comparison.failed.map(\.method), of: comparison.methods.count,
            first: first.failure ?? "", path: job.outputPath)
        }
      }
    }
  }

  /// The settings that matter before the ranks can speak; what cannot be read is reported later.
  private var earlySettings: RunSettings {
    var file = ComparisonSettings()
    if let config = options.config { try? file.read(yamlFile: config) }
    if let given = try? options.given() { file.shared.merge(given) }
    return file.shared
  }

  /// The demo's settings where neither base nor data is given, then the file, then the command line.
  private func settings() throws -> ComparisonSettings {
    var file = ComparisonSettings()
    if let config = options.config { try file.read(yamlFile: config) }
    let given = try options.given()
    let isDemo = ![file.shared, given].contains { $0.isSet("model") || $0.isSet("data") }
    var settings = isDemo ? try Demo.comparisonSettings() : ComparisonSettings()
    if let config = options.config { try settings.read(yamlFile: config) }
    settings.shared.merge(given)
    if let methods { try settings.choose(methods, source: .commandLine) }
    if let learningRates { try settings.setLearningRates(learningRates, source: .commandLine) }
    for text in set { try settings.set(text, source: .commandLine) }
    if let maxScoreExamples { settings.maximumQuestions = maxScoreExamples }
    return settings
  }

  private func print(_ comparison: Comparison) {
    let table = ComparisonReport(comparison).table
    Swift.print(
      json
        ? comparison.value.text()
        : table.plainText(columns: Console.outputColumns))
  }
}
