import Foundation

/// A row as it stands in its file.
struct InputRow: Sendable {
  enum Content: Sendable {
    case json([UInt8])
    case text([UInt8])
    case tokens(ImportedExample)

    var byteCount: Int {
      switch self {
      case .json(let bytes), .text(let bytes): bytes.count
      case .tokens(let example): 5 * example.tokens.count
      }
    }
  }

  var location: RowLocation
  var content: Content
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
/// so where it begins with `{`. Everything else is plain text.
final class RowReader: RowSource {
  private static let pieceSize = 1 << 20

  private let paths: [String]
  private let documents: DocumentUnit
  private var nextPath = 0
  private var file: FileHandle?
  private var path = ""
  private var kind = Kind.lines
  private var buffer: [UInt8] = []
  private var position = 0
  private var line = 1
  private var isAtEnd = false
  /// Bytes of all files that were read so far.
  private(set) var bytesRead = 0

  private enum Kind {
    case lines
    case list
    case textLines
    case textFile
  }

  init(_ paths: [String], documents: DocumentUnit) {
    self.paths = paths
    self.documents = documents
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
      try? file?.close()
      file = nil
    }
  }

  private func open(_ path: String) throws(PreparationError) {
    var isDirectory: ObjCBool = false
    // The flag is written during the call only.
    guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
      !isDirectory.boolValue
    else {
      throw .unreadable(
        path: path, reason: isDirectory.boolValue ? "it is a directory" : "there is no such file")
    }
    guard let handle = FileHandle(forReadingAtPath: path) else {
      throw .unreadable(path: path, reason: "permission is missing")
    }
    file = handle
    self.path = path
    (buffer, position, line, isAtEnd) = ([], 0, 1, false)
    try fill()
    if buffer.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    if let (kind, mend) = FileSignature.of(buffer) {
      throw .notText(path: path, kind: kind, mend: mend)
    }
    let first = buffer[position...].first { !Self.isBlank($0) }
    let name = path.lowercased()
    let isJSON = [".jsonl", ".ndjson", ".json"].contains { name.hasSuffix($0) }
    if isJSON || first == UInt8(ascii: "{") {
      kind = isJSON && first == UInt8(ascii: "[") ? .list : .lines
    } else {
      kind = documents == .line ? .textLines : .textFile
    }
    if kind == .list {
      _ = try skipBlanks()
      position += 1
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (9...13).contains(byte) }

  /// Reads another piece; false at the end of the file.
  @discardableResult
  private func fill() throws(PreparationError) -> Bool {
    if isAtEnd { return false }
    do {
      guard let data = try file?.read(upToCount: Self.pieceSize), !data.isEmpty else {
        isAtEnd = true
        return false
      }
      if position > 0 {
        buffer.removeFirst(position)
        position = 0
      }
      buffer.append(contentsOf: data)
      bytesRead += data.count
      return true
    } catch { throw .unreadable(path: path, reason: error.localizedDescription) }
  }

  private func nextInFile() throws(PreparationError) -> InputRow? {
    switch kind {
    case .lines, .textLines:
      while let (number, bytes) = try nextLine() {
        if bytes.allSatisfy(Self.isBlank) { continue }
        return row(number, kind == .lines ? .json(bytes) : .text(bytes))
      }
      return nil
    case .textFile:
      while try fill() {}
      guard position < buffer.count else { return nil }
      defer { position = buffer.count }
      return row(1, .text(Array(buffer[position...])))
    case .list: return try nextElement()
    }
  }

  private func row(_ line: Int, _ content: InputRow.Content) -> InputRow {
    InputRow(location: RowLocation(file: path, line: line), content: content)
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
      if try fill() { continue }
      guard searched > 0 else { return nil }
      let bytes = Array(buffer[position...])
      position = buffer.count
      return (line, bytes)
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
          let bytes = Array(buffer[position..<(position + length)])
          position += length
          return row(number, .json(bytes))
        }
        length += 1
      }
      guard try fill() else {
        let bytes = Array(buffer[position...])
        position = buffer.count
        return row(number, .json(bytes))
      }
    }
  }
}
