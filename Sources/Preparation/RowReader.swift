/// A row as it stands in its file.
struct InputRow: Sendable {
  enum Content: Sendable {
    case json([UInt8])
    case text([UInt8])
    case tokens(ImportedExample)
    /// A record of a table.
    case fields(names: [String], values: [[UInt8]])
    /// What could not be taken apart.
    case broken(RowProblem)

    var byteCount: Int {
      switch self {
      case .json(let bytes), .text(let bytes): bytes.count
      case .fields(_, let values): values.reduce(0) { $0 + $1.count }
      case .broken: 0
      case .tokens(let example): 5 * example.tokens.count
      }
    }
  }

  var location: RowLocation
  var content: Content
  /// What the file is, where it is more than lines of JSON: "CSV, gzip".
  var container: String?
}

/// Where rows come from.
protocol RowSource: AnyObject {
  /// The next row; nil behind the last.
  func next() throws(PreparationError) -> InputRow?
  /// Bytes of all files that were read so far.
  var bytesRead: Int { get }
}

/// Reads rows one after the other, holding no more of a file than a piece and a row.
///
/// A file with `.jsonl`, `.ndjson` or `.json` is JSON: a row a line, or one list of rows; another one is
/// so where it begins with `{`. One with `.csv` or `.tsv` is a table below a line of names. Everything
/// else is plain text. Each may be compressed with gzip or zstd; `.gz` and `.zst` say nothing of what is
/// in it.
final class RowReader: RowSource {
  private let paths: [String]
  private let documents: DocumentUnit
  let columns: ColumnMapping
  private var nextPath = 0
  private var file: InputBytes?
  private(set) var path = ""
  private var kind = Kind.lines
  private var container: String?
  // Of the file as it is unpacked; `+Table` reads these, too.
  private(set) var buffer: [UInt8] = []
  var position = 0
  var line = 1
  private var isAtEnd = false
  private var finishedBytes = 0
  /// Most bytes of a row.
  static let rowLimit = 64 << 20
  /// Most bytes of a text that is one document.
  private static let documentLimit = 1 << 30

  /// Bytes of all files that were read so far, as they lie there.
  var bytesRead: Int { finishedBytes + (file?.fileBytesRead ?? 0) }

  private enum Kind {
    case lines
    case list
    case textLines
    case textFile
    case table(Table)
  }

  init(_ paths: [String], documents: DocumentUnit, columns: ColumnMapping = ColumnMapping()) {
    self.paths = paths
    self.documents = documents
    self.columns = columns
  }

  /// The next row; nil behind the last.
  func next() throws(PreparationError) -> InputRow? {
    while true {
      if file == nil {
        guard nextPath < paths.count else { return nil }
        try open(paths[nextPath])
        nextPath += 1
      }
      if let row = try nextInFile() { return row }
      finishedBytes += file?.fileBytesRead ?? 0
      file = nil
    }
  }

  private func open(_ path: String) throws(PreparationError) {
    let file = try InputBytes(path)
    self.file = file
    self.path = path
    (buffer, position, line, isAtEnd) = ([], 0, 1, false)
    try fill()
    if buffer.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    if let (kind, mend) = FileSignature.of(buffer) {
      throw .notText(path: path, kind: kind, mend: mend)
    }
    let first = buffer[position...].first { !Self.isBlank($0) }
    var name = path.lowercased()
    if file.compression != nil, let end = Compression.extensions.first(where: name.hasSuffix) {
      name.removeLast(end.count)
    }
    let isJSON = [".jsonl", ".ndjson", ".json"].contains { name.hasSuffix($0) }
    let isTabbed = [".tsv", ".tab"].contains { name.hasSuffix($0) }
    var description: String?
    if isTabbed || name.hasSuffix(".csv") {
      let table = try readHeader(isTabbed: isTabbed)
      kind = .table(table)
      description = table.description
    } else if isJSON || first == UInt8(ascii: "{") {
      kind = isJSON && first == UInt8(ascii: "[") ? .list : .lines
    } else {
      guard columns.isEmpty else { throw .noColumns(path: path) }
      kind = documents == .line ? .textLines : .textFile
    }
    container = [description, file.compression?.rawValue].compactMap(\.self).joined(separator: ", ")
    if case .list = kind {
      _ = try skipBlanks()
      position += 1
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (9...13).contains(byte) }

  /// Reads another piece; false at the end of the file.
  @discardableResult
  func fill() throws(PreparationError) -> Bool {
    guard let file, !isAtEnd else { return false }
    if position > 0 {
      buffer.removeFirst(position)
      position = 0
    }
    isAtEnd = try !file.read(into: &buffer)
    return !isAtEnd
  }

  private func nextInFile() throws(PreparationError) -> InputRow? {
    switch kind {
    case .lines: return try nextFilledLine { .json($0) }
    case .textLines: return try nextFilledLine { .text($0) }
    case .table(let table): return try nextTableRow(table)
    case .textFile:
      while try fill() {
        guard buffer.count <= Self.documentLimit else {
          throw .unreadable(
            path: path,
            reason: "a document of more than \(Self.documentLimit >> 30) GiB; divide it, or take "
              + "each line for a document (--documents line)")
        }
      }
      guard position < buffer.count else { return nil }
      defer { position = buffer.count }
      return row(1, .text(Array(buffer[position...])))
    case .list: return try nextElement()
    }
  }

  func row(_ line: Int, _ content: InputRow.Content) -> InputRow {
    InputRow(
      location: RowLocation(file: path, line: line), content: content, container: container)
  }

  private func nextFilledLine(
    _ content: ([UInt8]) -> InputRow.Content
  ) throws(PreparationError) -> InputRow? {
    while let (number, bytes) = try nextLine() {
      if !bytes.allSatisfy(Self.isBlank) { return row(number, content(bytes)) }
    }
    return nil
  }

  private func nextLine() throws(PreparationError) -> (Int, [UInt8])? {
    var searched = 0
    while true {
      if let end = buffer[(position + searched)...].firstIndex(of: 0x0a) {
        let number = line
        var bytes = Array(buffer[position..<end])
        if bytes.last == 0x0d { bytes.removeLast() }
        position = end + 1
        line += 1
        return (number, bytes)
      }
      searched = buffer.count - position
      try checkLength(searched, line: line)
      if try fill() { continue }
      guard searched > 0 else { return nil }
      let bytes = Array(buffer[position...])
      position = buffer.count
      return (line, bytes)
    }
  }

  /// Refuses a row of which so many bytes are here and no end is: memory would have no bound, since
  /// a small compressed file may hold a long one.
  func checkLength(_ byteCount: Int, line: Int) throws(PreparationError) {
    guard byteCount <= Self.rowLimit else {
      throw .unreadable(
        path: path,
        reason: "the row that begins in line \(line) has more than \(Self.rowLimit >> 20) MiB")
    }
  }

  /// Passes over blanks and counts lines; false at the end of the file.
  private func skipBlanks() throws(PreparationError) -> Bool {
    while true {
      while position < buffer.count {
        guard Self.isBlank(buffer[position]) else { return true }
        if buffer[position] == 0x0a { line += 1 }
        position += 1
      }
      if !(try fill()) { return false }
    }
  }

  /// The next element of a list; whether it is JSON is seen when it is read.
  private func nextElement() throws(PreparationError) -> InputRow? {
    while try skipBlanks(), buffer[position] == UInt8(ascii: ",") { position += 1 }
    guard position < buffer.count, buffer[position] != UInt8(ascii: "]") else {
      position = buffer.count
      isAtEnd = true
      return nil
    }
    let number = line
    var (depth, isString, isEscaped, length) = (0, false, false, 0)
    while true {
      while position + length < buffer.count {
        let byte = buffer[position + length]
        if byte == 0x0a { line += 1 }
        if isString {
          if isEscaped {
            isEscaped = false
          } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
          } else if byte == UInt8(ascii: "\"") {
            isString = false
          }
        } else if byte == UInt8(ascii: "\"") {
          isString = true
        } else if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") {
          depth += 1
        } else if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") {
          depth -= 1
        }
        if depth < 0 || (depth == 0 && !isString && byte == UInt8(ascii: ",")) {
          // A brace that closes nothing is a row of its own, else no call would come past it.
          length = max(length, 1)
          let bytes = Array(buffer[position..<(position + length)])
          position += length
          return row(number, .json(bytes))
        }
        length += 1
      }
      try checkLength(length, line: number)
      guard try fill() else {
        let bytes = Array(buffer[position...])
        position = buffer.count
        return row(number, .json(bytes))
      }
    }
  }
}
