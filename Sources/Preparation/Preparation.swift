import Datasets
import Dispatch
import Foundation
import Synchronization
import Tensors

/// From files of rows to a dataset: what `prepare` does.
///
/// ```swift
/// var options = PreparationOptions()
/// options.inputs = ["alpaca.jsonl"]
/// options.output = "data.h5"
/// let report = try Preparation(ModelText(directory: "model"), options).run()
/// print(report.text)
/// ```
///
/// Rows stream through: a round of them is read, encoded on all threads and written in the order of
/// the files, so that the dataset does not depend on the number of threads. Of what has passed, only 16
/// bytes an example stay, to find duplicates. A row that falls to the
/// validation share is chosen by its content and the seed, so that equal rows fall together.
public final class Preparation {
  /// How far the work is.
  public struct Progress: Sendable {
    /// Bytes of the files that are read.
    public let bytesRead: Int
    /// Bytes of all files.
    public let totalBytes: Int
    /// Rows so far.
    public let rows: Int

    /// The share that is done.
    public var share: Double { totalBytes > 0 ? Double(bytesRead) / Double(totalBytes) : 1 }
  }

  /// Rows of a round for each thread, and bytes of a round at most: memory is a few times the latter.
  private static let rowsPerThread = 256
  private static let roundBytes = 8 << 20
  /// Rows that a thread takes at once.
  private static let chunk = 16

  private let text: ModelText
  private let options: PreparationOptions
  private let encoder: RowEncoder
  private let split: CounterRandom
  private var report = PreparationReport()
  private var seen: [SplitName: SeenExamples] = [:]
  /// Which of the columns that were named some row had, and the keys of the first row.
  private var foundColumns: Set<Int> = []
  private var firstKeys: [String]?

  /// Checks what can be checked before a row is read.
  ///
  /// - Throws: `PreparationError`, `TokenizerError`.
  public init(_ text: ModelText, _ options: PreparationOptions) throws {
    self.text = text
    self.options = options
    encoder = try RowEncoder(text, options)
    split = CounterRandom(seed: options.seed, purpose: "validation split")
    report.templateName = text.template?.name
    report.maximumPositions = text.maximumPositions
    report.maxLength = options.maxLength
    report.output = options.output
    report.columns = options.columns
    report.removesDuplicates = options.removesDuplicates
    if !options.validation.isEmpty || options.validationShare > 0 {
      report.splits[.validation] = .init()
    }
  }

  /// Does the work.
  ///
  /// - Parameters:
  ///   - progress: told after each round.
  ///   - said: told, once a form, what rows were taken for, with the first of them.
  /// - Throws: `PreparationError`, `DatasetError`; there is then no new file.
  public func run(
    progress: (Progress) -> Void = { _ in }, said: (RowPreview) -> Void = { _ in }
  ) throws -> PreparationReport {
    let writer = try TokenDatasetWriter(
      path: options.output, vocabularySize: text.vocabularySize,
      // Nothing in a file of another program says which tokenizer made it.
      tokenizerSHA256: options.importFormat == nil ? text.tokenizer.sha256 : nil,
      vocabularySHA256: options.importFormat == nil ? text.tokenizer.vocabularySHA256 : nil)
    let files = options.inputs + options.validation
    let totalBytes = files.reduce(0) { $0 + Self.size($1) }
    var finished = 0
    for (name, paths) in [(SplitName.train, options.inputs), (.validation, options.validation)] {
      let reader = source(paths)
      while true {
        let rows = try round(reader)
        if rows.isEmpty { break }
        for (row, result) in zip(rows, encode(rows)) {
          try take(row, result, for: name, writer, said)
        }
        progress(
          Progress(
            bytesRead: finished + reader.bytesRead, totalBytes: totalBytes, rows: report.rowsRead))
      }
      finished += reader.bytesRead
    }
    guard report.examples > 0 || report.withoutTarget > 0 else {
      guard report.rowsRead > 0 else { throw PreparationError.noRows(files: files) }
      let first = report.brokenRows.first.map { "\($0.location): \($0.problem)" }
      throw PreparationError.nothingUsed(
        rows: report.rowsRead, leftOut: report.leftOut, first: first)
    }
    let pairs = options.columns.pairs
    if let missing = pairs.indices.first(where: { !foundColumns.contains($0) }) {
      throw PreparationError.unknownColumn(
        pairs[missing].column, key: pairs[missing].key, there: firstKeys ?? [])
    }
    guard report.countedTokens > 0 else {
      throw PreparationError.nothingCounts(examples: report.examples + report.withoutTarget)
    }
    try writer.finish()
    return report
  }

  private static func size(_ path: String) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return (attributes?[.size] as? NSNumber)?.intValue ?? 0
  }

  private func source(_ paths: [String]) -> any RowSource {
    guard let format = options.importFormat else {
      return RowReader(paths, documents: options.documents, columns: options.columns)
    }
    return ImportSource(
      paths, format: format, window: options.excess == .split ? options.maxLength : nil)
  }

  private func round(_ reader: any RowSource) throws(PreparationError) -> [InputRow] {
    var rows: [InputRow] = []
    var bytes = 0
    while rows.count < Self.rowsPerThread * options.threads, bytes < Self.roundBytes,
      let row = try reader.next()
    {
      bytes += row.content.byteCount
      rows.append(row)
    }
    return rows
  }

  private typealias Outcome = Result<RowEncoder.Encoded, RowProblem>

  /// Encodes rows on all threads; the results stand in the rows' order.
  private func encode(_ rows: [InputRow]) -> [Outcome] {
    let encoder = encoder
    let chunks = stride(from: 0, to: rows.count, by: Self.chunk).map {
      $0..<min($0 + Self.chunk, rows.count)
    }
    @Sendable func encoded(_ range: Range<Int>) -> [Outcome] {
      rows[range].map { row in
        do throws(RowProblem) { return .success(try encoder.encode(row)) } catch {
          return .failure(error)
        }
      }
    }
    guard options.threads > 1, chunks.count > 1 else { return chunks.flatMap(encoded) }
    let results = Mutex<[[Outcome]]>(Array(repeating: [], count: chunks.count))
    let next = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: min(options.threads, chunks.count)) { _ in
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < chunks.count else { return }
        let outcomes = encoded(chunks[index])
        results.withLock { $0[index] = outcomes }
      }
    }
    return results.withLock { $0.flatMap { $0 } }
  }

  /// Takes a row's outcome into the report and, where it can be used, into the dataset.
  private func take(
    _ row: InputRow, _ outcome: Outcome, for name: SplitName, _ writer: TokenDatasetWriter,
    _ said: (RowPreview) -> Void
  ) throws {
    report.rowsRead += 1
    switch outcome {
    case .failure(.noEndOfText):
      throw PreparationError.noEndOfText(tokenizer: text.tokenizer.path)
    case .failure(let problem):
      guard options.skipsBrokenRows else {
        throw PreparationError.brokenRow(row.location, reason: problem)
      }
      report.brokenCount += 1
      if report.brokenRows.count < PreparationReport.namedRows {
        report.brokenRows.append(.init(location: row.location, problem: problem))
      }
    case .success(let example):
      if report.forms[example.form] == nil {
        let preview = RowPreview(row, form: example.form, columns: options.columns)
        if firstKeys == nil { firstKeys = preview.keys }
        said(preview)
      }
      for (index, isFound) in example.foundColumns.enumerated() where isFound {
        foundColumns.insert(index)
      }
      report.forms[example.form, default: 0] += 1
      report.answers += example.answerCount
      report.unclosedAnswers += example.unclosedCount
      if example.beginsTwice { report.doubleBegins += 1 }
      try takeByLength(example, at: row.location, for: name, writer)
    }
  }

  private func takeByLength(
    _ example: RowEncoder.Encoded, at location: RowLocation, for name: SplitName,
    _ writer: TokenDatasetWriter
  ) throws {
    let (tokens, mask) = (example.tokens, example.mask)
    guard let limit = options.maxLength, tokens.count > limit else {
      return try add(tokens, mask, at: location, to: name, writer)
    }
    switch options.excess {
    case .drop: report.droppedLong += 1
    case .error:
      throw PreparationError.tooLong(location, tokens: tokens.count, limit: limit)
    case .truncate:
      report.truncated += 1
      try add(Array(tokens[..<limit]), Array(mask[..<limit]), at: location, to: name, writer)
    case .split:
      report.divided += 1
      for start in stride(from: 0, to: tokens.count, by: limit) {
        let range = start..<min(start + limit, tokens.count)
        var part = Array(mask[range])
        part[0] = 0
        try add(Array(tokens[range]), part, at: location, to: name, writer)
      }
    }
  }

  private func add(
    _ tokens: [UInt32], _ mask: [UInt8], at location: RowLocation, to wanted: SplitName,
    _ writer: TokenDatasetWriter
  ) throws {
    let counted = mask.count { $0 == 1 }
    guard counted > 0 else {
      report.withoutTarget += 1
      return
    }
    if zip(tokens, mask).allSatisfy({ $1 == 0 || text.stopTokens.contains($0) }) {
      report.onlyEnds += 1
    }
    let hash = ExampleHash(tokens: tokens, mask: mask)
    var name = wanted
    if name == .train, options.validationShare > 0,
      split.uniform(hash.low) < options.validationShare
    {
      name = .validation
    }
    let isNew = seen[name, default: SeenExamples()].insert(hash)
    let isAcross = name == .validation && seen[.train]?.contains(hash) ?? false
    if !isNew { report.splits[name]?.duplicates += 1 }
    if isAcross { report.acrossSplits += 1 }
    if options.removesDuplicates, !isNew || isAcross {
      report.removedDuplicates += 1
      return
    }
    try writer.append(tokens: tokens, lossMask: mask, to: name)
    report.splits[name]?.lengths.add(tokens.count)
    report.splits[name]?.countedTokens += counted
    if report.shown.count < options.showCount {
      report.shown.append(
        ExampleView.text(
          tokens, mask, heading: "example \(report.shown.count + 1), \(name), from \(location)",
          tokenizer: text.tokenizer))
    }
  }
}
