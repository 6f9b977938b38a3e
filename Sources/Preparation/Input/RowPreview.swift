import JSON

/// What the first row of a form was taken for, for the eye.
///
/// ```
/// faq.csv.gz:2: rows taken for {"prompt", "completion"} (CSV, gzip)
///   prompt      question  "What is the capital of France?"
///   completion  answer    "Paris"
///   not used    id, source
/// ```
public struct RowPreview: Sendable, CustomStringConvertible {
  /// Characters of a value that are shown.
  private static let width = 60

  /// The form.
  public let form: RowForm
  /// Where the row stands.
  public let location: RowLocation
  /// The row's keys or columns.
  public let keys: [String]
  private let container: String?
  private let lines: [(key: String, column: String, value: String)]
  private let unused: [String]

  init(_ row: InputRow, form: RowForm, columns: ColumnMapping) {
    self.form = form
    location = row.location
    container = row.container
    let object = (try? RowEncoder.node(row.content))?.object ?? JSONObject([])
    keys = object.members.map(\.key)
    var lines: [(key: String, column: String, value: String)] = []
    for key in form.keys {
      let column = columns.pairs.first { $0.key == key }?.column ?? key
      guard let value = object[column], !value.isNull else { continue }
      lines.append((key, column, Self.cut(value)))
    }
    self.lines = lines
    let used = Set(lines.map(\.column))
    unused = keys.filter { !used.contains($0) }
  }

  private static func cut(_ node: JSONNode) -> String {
    let text =
      node.string.map { JSONText.quoted(String($0.prefix(2 * width))) } ?? JSONValue(node).text()
    return text.count > width ? text.prefix(width) + "…" : text
  }

  /// The preview in lines of text.
  public var description: String {
    let inBrackets = container.map { $0.isEmpty ? "" : " (\($0))" } ?? ""
    var result = "\(location): rows taken for \(form)" + inBrackets
    let keyWidth = max(lines.map(\.key.count).max() ?? 0, unused.isEmpty ? 0 : 8)
    let hasOtherNames = lines.contains { $0.key != $0.column }
    let columnWidth = hasOtherNames ? 2 + (lines.map(\.column.count).max() ?? 0) : 0
    for line in lines {
      result += "\n  " + Self.pad(line.key, keyWidth + 2)
      if hasOtherNames { result += Self.pad(line.column, columnWidth) }
      result += line.value
    }
    if !unused.isEmpty {
      result += "\n  " + Self.pad("not used", keyWidth + 2) + unused.joined(separator: ", ")
    }
    return result
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
