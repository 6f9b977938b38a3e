import ArgumentParser
import DataParallel
import Foundation
import Preparation
import Training

/// `prepare`: text or JSONL becomes a tokenised dataset.
struct PrepareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prepare",
    abstract: "Rows of text to a tokenised HDF5 dataset.",
    discussion: """
      Rows are taken by their keys: {"text"}, {"prompt", "completion"}, {"messages"}, Alpaca's \
      {"instruction", "input", "output"}, ShareGPT's {"conversations"}, or ready-made {"input_ids", \
      "labels"}; keys of other names are named with --columns. Files are JSONL or a JSON list, CSV or \
      TSV below a line of names, else plain text; each may be compressed with gzip or zstd. --from reads \
      token ids of other programs. The report goes to standard output, progress and what rows were \
      taken for to standard error.
      """)

  @Option(help: ArgumentHelp("Hugging Face model directory or GGUF file", valueName: "DIR|FILE"))
  var model: String?
  @Option(
    help: ArgumentHelp(
      "tokenizer.json (with what lies beside it), a directory or a GGUF file, in place of the "
        + "model's",
      valueName: "FILE|DIR"))
  var tokenizer: String?
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("files to train on; 'rows/*.jsonl.gz' works too", valueName: "FILE"))
  var input: [String]
  @Option(help: ArgumentHelp("dataset to write", valueName: "FILE")) var output: String
  @Option(
    parsing: .upToNextOption, help: ArgumentHelp("files to evaluate on", valueName: "FILE"))
  var validation: [String] = []
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "columns by what they are: prompt=question,completion=answer", valueName: "KEY=COLUMN"))
  var columns: [String] = []
  @Option(help: ArgumentHelp("share of the rows kept for evaluation", valueName: "X"))
  var validationSplit: Double?
  @Flag(help: "Let prompts count in the loss too") var trainOnPrompt = false
  @Option(help: ArgumentHelp("Jinja file, or none; default: the model's own", valueName: "FILE"))
  var chatTemplate: String?
  @Flag(
    inversion: .prefixedNo,
    help: "Put the end-of-text token behind examples; default: behind all but conversations")
  var appendEos: Bool?
  @Option(help: ArgumentHelp("the end-of-text token, where none is configured", valueName: "TEXT"))
  var eosToken: String?
  @Option(help: ArgumentHelp("most tokens of an example", valueName: "N")) var maxLength: Int?
  @Option(help: ArgumentHelp("What becomes of longer ones (default: drop)", valueName: "WORD"))
  var excessLength: ExcessLength?
  @Flag(help: "Leave exact duplicates out") var deduplicate = false
  @Option(
    help: ArgumentHelp(
      "Whether a broken row ends the work (stop) or is left out (skip)", valueName: "WORD"))
  var onError: OnError = .stop
  @Option(
    help: ArgumentHelp(
      "Which program wrote the input, where it holds token ids", valueName: "PROGRAM"))
  var from: ImportFormat?
  @Option(help: ArgumentHelp("What a document of plain text is", valueName: "WORD"))
  var documents: DocumentUnit = .file
  @Option(help: ArgumentHelp("print N examples token by token", valueName: "N")) var show = 0
  @Option(help: ArgumentHelp("the choice of validation rows follows from it", valueName: "N"))
  var seed: UInt64 = 42
  @Option(help: ArgumentHelp("threads; default: the cores allowed", valueName: "N"))
  var threads: Int?
  @Flag(help: "Print the report as one JSON object on standard output") var json = false

  /// What a broken row does.
  enum OnError: String, ExpressibleByArgument, CaseIterable {
    case stop
    case skip
  }

  func validate() throws {
    if model == nil, tokenizer == nil {
      throw ValidationError("Give --model or --tokenizer.")
    }
    if let share = validationSplit {
      guard share >= 0, share < 1 else {
        throw ValidationError("--validation-split is \(share); give 0 or more, below 1.")
      }
      if !validation.isEmpty, share > 0 {
        throw ValidationError("Give either --validation or --validation-split.")
      }
    }
    if let maxLength, maxLength < 2 {
      throw ValidationError(
        "--max-length is \(maxLength); give 2 or more: the first token is never a target.")
    }
    if excessLength != nil, maxLength == nil {
      throw ValidationError("--excess-length needs --max-length.")
    }
    if show < 0 { throw ValidationError("--show is \(show); give 0 or more.") }
    if let threads, !(1...ProcessorShare.mostThreads).contains(threads) {
      throw ValidationError(
        "--threads is \(threads); give a number from 1 to \(ProcessorShare.mostThreads).")
    }
    if !columns.isEmpty, from != nil {
      throw ValidationError(
        "--columns is for rows of text; --from reads token ids, without columns.")
    }
  }

  /// A path with links followed, to see that two are one.
  private static func place(_ path: String) -> String {
    URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
  }

  func run() throws {
    let options = try options()
    let preparation = try Preparation(modelText(), options)
    let line = ProgressLine()
    let report = try preparation.run(
      progress: { line.show(share: $0.share, detail: "\($0.rows) rows") },
      said: { line.say($0.description) })
    line.finish()
    let shown = report.shown.joined(separator: "\n\n")
    if json {
      if !shown.isEmpty { Failure.write(shown) }
      for warning in report.warnings { Failure.write("warning: \(warning)") }
      print(report.json.text())
    } else {
      if !shown.isEmpty { print(shown + "\n") }
      print(report.text)
    }
  }

  private func modelText() throws -> ModelText {
    let template: ChatTemplateChoice =
      switch chatTemplate {
      case nil, "model": .model
      case "none": .none
      case .some(let path): .file(path)
      }
    if let tokenizer {
      return try ModelText(
        tokenizer: tokenizer, model: model, chatTemplate: template, endOfText: eosToken)
    }
    return try ModelText(
      directory: model ?? "", chatTemplate: template, endOfText: eosToken)
  }

  private func options() throws -> PreparationOptions {
    var options = PreparationOptions()
    options.inputs = try InputFiles.expanded(input)
    options.validation = try InputFiles.expanded(validation)
    let target = Self.place(output)
    if let same = (options.inputs + options.validation).first(where: { Self.place($0) == target }) {
      throw ValidationError("--output \(output) would replace the input \(same).")
    }
    options.columns = try ColumnMapping(columns)
    options.validationShare = validationSplit ?? 0
    options.output = output
    options.trainsOnPrompt = trainOnPrompt
    options.appendsEndOfText = appendEos
    options.maxLength = maxLength
    options.excess = excessLength ?? .drop
    options.removesDuplicates = deduplicate
    options.skipsBrokenRows = onError == .skip
    options.documents = documents
    options.importFormat = from
    options.showCount = show
    options.seed = seed
    options.threads =
      try threads ?? ProcessorShare(communicator: Communicator(alone: ())).threads
    return options
  }
}

extension ExcessLength: ExpressibleByArgument {}
extension DocumentUnit: ExpressibleByArgument {}
extension ImportFormat: ExpressibleByArgument {}
