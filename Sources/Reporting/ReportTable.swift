/// A table of figures, once, for every form in which it leaves the program.
///
/// ```swift
/// var table = ReportTable(columns: [.init("method", "Method"), .init("loss", "Loss", isNumeric: true)])
/// table.append([.init("lora"), .init(raw: "0.25", shown: "0.250")])
/// print(table.plainText)
/// ```
///
/// It knows columns and cells, not what they mean.
public struct ReportTable: Sendable {
  /// What a column is called.
  package struct Column: Sendable {
    /// The name for programs: the head of the CSV column.
    package let key: String
    /// The name for readers.
    package let title: String
    /// Whether cells are numbers, which stand at the right.
    package let isNumeric: Bool
    /// Whether readers see it; programs always do.
    package let isShown: Bool

    package init(_ key: String, _ title: String, isNumeric: Bool = false, isShown: Bool = true) {
      self.key = key
      self.title = title
      self.isNumeric = isNumeric
      self.isShown = isShown
    }
  }

  /// One value, as programs and as readers get it.
  package struct Cell: Sendable {
    /// For programs: a plain number or a text; empty where there is none.
    package let raw: String
    /// For readers.
    package let shown: String
    /// What a page adds to it in small letters.
    package let note: String

    /// A value in both forms.
    package init(raw: String, shown: String, note: String = "") {
      self.raw = raw
      self.shown = shown
      self.note = note
    }

    /// A text that is the same for both.
    package init(_ text: String, note: String = "") {
      self.init(raw: text, shown: text, note: note)
    }

    /// No value.
    package static let none = Cell(raw: "", shown: "–")
  }

  package let columns: [Column]
  /// The rows, a cell for each column.
  package private(set) var rows: [[Cell]] = []

  /// Whether its cells are sentences, which a page breaks into lines.
  package let isProse: Bool

  package init(columns: [Column], isProse: Bool = false) {
    self.columns = columns
    self.isProse = isProse
  }

  package mutating func append(_ row: [Cell]) {
    precondition(row.count == columns.count, "\(row.count) cells for \(columns.count) columns")
    rows.append(row)
  }
}

extension ReportTable {
  /// The table as CSV (RFC 4180): a head of keys, the raw values, lines that end in CR LF.
  package var csv: String {
    let lines = [columns.map(\.key)] + rows.map { $0.map(\.raw) }
    return lines.map { $0.map(Self.quoted).joined(separator: ",") + "\r\n" }.joined()
  }

  private static func quoted(_ field: String) -> String {
    let isPlain = !field.unicodeScalars.contains { ["\"", ",", "\n", "\r"].contains($0) }
    return isPlain ? field : "\"" + field.replacing("\"", with: "\"\"") + "\""
  }

  /// The table for a terminal, its columns aligned.
  public var plainText: String { plainText(columns: nil) }

  /// The table for a terminal of so many columns: what does not fit stands in further tables below,
  /// each with the first column in front.
  ///
  /// - Parameter width: the terminal's columns; nil: as wide as it is.
  public func plainText(columns width: Int?) -> String {
    let shown = columns.indices.filter { columns[$0].isShown }
    let widths = shown.map { place in
      max(columns[place].title.count, rows.map { $0[place].shown.count }.max() ?? 0)
    }
    // Places in `shown`, a table at a time.
    var parts: [[Int]] = [[]]
    var taken = 0
    for place in shown.indices {
      let isFull = width.map { taken + widths[place] > $0 } ?? false
      if isFull, (parts.last?.count ?? 0) > 1 {
        parts.append([0])
        taken = widths[0] + 2
      }
      parts[parts.count - 1].append(place)
      taken += widths[place] + 2
    }
    return parts.map { part in
      plainText(part.map { (place: shown[$0], width: widths[$0]) })
    }.joined(separator: "\n")
  }

  private func plainText(_ columns: [(place: Int, width: Int)]) -> String {
    func line(_ texts: [String]) -> String {
      let text = zip(columns, texts).map { column, text in
        let padding = String(repeating: " ", count: column.width - text.count)
        return self.columns[column.place].isNumeric ? padding + text : text + padding
      }.joined(separator: "  ")
      return String(text.reversed().drop { $0 == " " }.reversed()) + "\n"
    }
    return line(columns.map { self.columns[$0.place].title })
      + line(columns.map { String(repeating: "-", count: $0.width) })
      + rows.map { row in line(columns.map { row[$0.place].shown }) }.joined()
  }

  /// The table as HTML; cells of the first column head their rows.
  package var html: String {
    let shown = columns.indices.filter { columns[$0].isShown }
    func kind(_ place: Int) -> String { columns[place].isNumeric ? " class=\"number\"" : "" }
    var text = "<div class=\"scroll\"><table\(isProse ? " class=\"prose\"" : "")>\n<thead><tr>"
    for place in shown {
      text += "<th scope=\"col\"\(kind(place))>\(Markup.escaped(columns[place].title))</th>"
    }
    text += "</tr></thead>\n<tbody>\n"
    for row in rows {
      text += "<tr>"
      for place in shown {
        let cell = row[place]
        let note = cell.note.isEmpty ? "" : " <small>\(Markup.escaped(cell.note))</small>"
        let tag = place == shown.first ? "th scope=\"row\"" : "td"
        let end = place == shown.first ? "th" : "td"
        text += "<\(tag)\(kind(place))>\(Markup.escaped(cell.shown))\(note)</\(end)>"
      }
      text += "</tr>\n"
    }
    return text + "</tbody></table></div>\n"
  }
}
