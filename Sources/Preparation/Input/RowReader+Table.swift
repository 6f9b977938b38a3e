/// Tables of text: records of fields, as RFC 4180 writes them, below a line of names.
///
/// A field that begins with a quotation mark ends with one, and may hold separators, line ends and
/// doubled quotation marks; elsewhere a quotation mark is a character like others. Lines end with or
/// without a carriage return; blank ones between records are passed over.
extension RowReader {
  /// A table's columns, and what stands between them.
  struct Table {
    var separator: UInt8
    var names: [String] = []

    /// The table in words.
    var description: String {
      switch separator {
      case UInt8(ascii: "\t"): "TSV"
      case UInt8(ascii: ","): "CSV"
      default: "CSV separated by \(Character(Unicode.Scalar(separator)))"
      }
    }
  }

  /// A line of a table, which may be several lines of the file.
  private struct Record {
    var line: Int
    var fields: [[UInt8]] = []
    var problem: RowProblem?
  }

  /// Reads the names of the columns.
  ///
  /// - Parameter isTabbed: whether tabs stand between fields; otherwise the first line tells whether
  ///   commas, semicolons or tabs do.
  func readHeader(isTabbed: Bool) throws(PreparationError) -> Table {
    var table = Table(separator: UInt8(ascii: "\t"))
    if !isTabbed { table.separator = try separatorOfFirstLine() }
    guard let record = try nextRecord(table.separator) else { return table }
    let location = RowLocation(file: path, line: record.line)
    if let problem = record.problem {
      throw .badTable(location, problem: "\(problem)")
    }
    for (index, field) in record.fields.enumerated() {
      guard let name = String(validating: field, as: UTF8.self) else {
        throw .badTable(
          location,
          problem:
            "the name of column \(index + 1) is not UTF-8; write the file as UTF-8, for example "
            + "with iconv -f WINDOWS-1252 -t UTF-8")
      }
      // A column without a name is what pandas writes for its row numbers.
      guard name.isEmpty || !table.names.contains(name) else {
        throw .badTable(location, problem: "two columns are called '\(name)'")
      }
      table.names.append(name)
    }
    if let problem = columns.problem(ofColumns: table.names.filter { !$0.isEmpty }) {
      throw .badTable(location, problem: problem.ofTable)
    }
    return table
  }

  /// Of comma, semicolon and tab the one that stands most often in the first line, outside of quotes.
  private func separatorOfFirstLine() throws(PreparationError) -> UInt8 {
    let candidates = Array(",;\t".utf8)
    var counts = [0, 0, 0]
    var (offset, isQuoted) = (0, false)
    while let byte = try byte(at: offset), isQuoted || byte != 0x0a, offset < Self.rowLimit {
      if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
      if !isQuoted, let index = candidates.firstIndex(of: byte) { counts[index] += 1 }
      offset += 1
    }
    let most = counts.max() ?? 0
    return candidates[counts.firstIndex(of: most) ?? 0]
  }

  /// The next row of a table.
  func nextTableRow(_ table: Table) throws(PreparationError) -> InputRow? {
    guard let record = try nextRecord(table.separator) else { return nil }
    if let problem = record.problem { return row(record.line, .broken(problem)) }
    guard record.fields.count == table.names.count else {
      return row(
        record.line,
        .broken(.wrongFieldCount(record.fields.count, columns: table.names)))
    }
    return row(record.line, .fields(names: table.names, values: record.fields))
  }

  /// The byte `offset` behind the position, read where it is not here yet; nil behind the end.
  private func byte(at offset: Int) throws(PreparationError) -> UInt8? {
    while position + offset >= buffer.count {
      guard try fill() else { return nil }
    }
    return buffer[position + offset]
  }

  private enum State {
    /// Where a field begins.
    case start
    case plain
    case quoted
    /// Behind a closing quotation mark.
    case closed
  }

  private func nextRecord(_ separator: UInt8) throws(PreparationError) -> Record? {
    try passBlankLines()
    guard try byte(at: 0) != nil else { return nil }
    var record = Record(line: line)
    var field: [UInt8] = []
    var (offset, column, state) = (0, 0, State.start)
    var opened = (line: line, column: 1)
    while let byte = try byte(at: offset) {
      offset += 1
      // Characters, not bytes: those that continue one do not count.
      if byte & 0xc0 != 0x80 { column += 1 }
      if state == .quoted {
        // So long a record is a quotation mark that is not closed.
        guard offset <= Self.rowLimit else { throw unclosed(opened) }
        if byte == UInt8(ascii: "\"") {
          if try self.byte(at: offset) == UInt8(ascii: "\"") {
            field.append(byte)
            offset += 1
            column += 1
          } else {
            state = .closed
          }
        } else {
          field.append(byte)
          if byte == 0x0a { (line, column) = (line + 1, 0) }
        }
        continue
      }
      if offset > Self.rowLimit { try checkLength(offset, line: record.line) }
      if byte == separator {
        record.fields.append(field)
        field.removeAll(keepingCapacity: true)
        state = .start
      } else if byte == 0x0a {
        record.fields.append(field)
        position += offset
        line += 1
        return record
      } else if byte == 0x0d {
        let next = try self.byte(at: offset)
        guard next == nil || next == 0x0a else {
          return try broken(.loneCarriageReturn(column: column), from: offset)
        }
      } else if state == .closed {
        return try broken(.textBehindQuote(column: column), from: offset)
      } else if state == .start, byte == UInt8(ascii: "\"") {
        state = .quoted
        opened = (line, column)
      } else {
        field.append(byte)
        state = .plain
      }
    }
    if state == .quoted { throw unclosed(opened) }
    record.fields.append(field)
    position += offset
    return record
  }

  private func passBlankLines() throws(PreparationError) {
    while let byte = try byte(at: 0) {
      if byte == 0x0a {
        (position, line) = (position + 1, line + 1)
      } else if byte == 0x0d, try self.byte(at: 1) == 0x0a {
        (position, line) = (position + 2, line + 1)
      } else {
        return
      }
    }
  }

  /// A record with a problem, which ends with its line.
  private func broken(
    _ problem: RowProblem, from start: Int
  ) throws(PreparationError) -> Record {
    let record = Record(line: line, problem: problem)
    var offset = start
    while let byte = try byte(at: offset), byte != 0x0a {
      offset += 1
      // What is left out need not stay in memory.
      if offset > Self.rowLimit { (position, offset) = (position + offset, 0) }
    }
    position = min(position + offset + 1, buffer.count)
    line += 1
    return record
  }

  private func unclosed(_ place: (line: Int, column: Int)) -> PreparationError {
    .badTable(
      RowLocation(file: path, line: place.line),
      problem:
        "column \(place.column): the quotation mark here is not closed; a quotation mark in a "
        + "quoted field is doubled")
  }
}
