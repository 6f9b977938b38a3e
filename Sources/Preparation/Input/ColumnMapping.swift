import JSON

/// Which columns of the rows stand for the keys of the known forms: what `--columns` says.
///
/// ```swift
/// let columns = try ColumnMapping(["prompt=question,completion=answer"])
/// ```
public struct ColumnMapping: Sendable {
  /// A key of a form, and the column that stands for it.
  struct Pair: Sendable, Equatable {
    let key: String
    let column: String
  }

  /// In the order in which they were given.
  let pairs: [Pair]
  /// The form that the keys make by themselves.
  private let form: RowForm?

  /// No column has another name.
  public init() { (pairs, form) = ([], nil) }

  /// Reads `key=column` pairs with commas between; a comma before which no `=` stands belongs to the
  /// column's name.
  ///
  /// - Throws: `PreparationError.badColumns`.
  public init(_ texts: [String]) throws(PreparationError) {
    var pairs: [Pair] = []
    for text in texts {
      var parts: [String] = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        if part.contains("=") || parts.isEmpty {
          parts.append(String(part))
        } else {
          parts[parts.count - 1] += "," + part
        }
      }
      for part in parts {
        guard let equals = part.firstIndex(of: "="), part[equals...].count > 1 else {
          throw .badColumns("'\(part)' is no key=column, such as prompt=question")
        }
        let key = String(part[..<equals])
        guard RowForm.keys.contains(key) else {
          throw .badColumns(
            "'\(key)' is no key of a row; there are \(RowForm.keys.joined(separator: ", "))")
        }
        guard !pairs.contains(where: { $0.key == key }) else {
          throw .badColumns("'\(key)' is given twice")
        }
        pairs.append(Pair(key: key, column: String(part[part.index(after: equals)...])))
      }
    }
    self.pairs = pairs
    form = RowForm.form(Set(pairs.map(\.key)))
  }

  /// Whether no column has another name.
  public var isEmpty: Bool { pairs.isEmpty }

  /// Columns by their keys, for programs.
  var json: JSONValue {
    .object(Dictionary(uniqueKeysWithValues: pairs.map { ($0.key, .string($0.column)) }))
  }

  /// A row under the names that its form has, and that form.
  ///
  /// - Returns: also which pairs found their column.
  func applied(
    to row: JSONNode
  ) throws(RowProblem) -> (row: JSONNode, form: RowForm, found: [Bool]) {
    guard !pairs.isEmpty else { return (row, try RowForm(row), []) }
    guard let object = row.object else { throw .notAnObject(found: row.kind) }
    var found: [Bool] = []
    var members = object.members.filter { member in !pairs.contains { $0.key == member.key } }
    for pair in pairs {
      let value = object[pair.column]
      found.append(value != nil)
      guard let value else {
        if RowForm.optionalKeys.contains(pair.key) { continue }
        throw .missingColumn(pair.column, key: pair.key, columns: object.members.map(\.key))
      }
      members.append((pair.key, value))
    }
    let renamed = JSONNode.object(JSONObject(members))
    if let form { return (renamed, form, found) }
    return (renamed, try RowForm(renamed), found)
  }

  /// Checks the columns of a table, which every row of it has.
  ///
  /// - Returns: what is wrong with them.
  func problem(ofColumns names: [String]) -> RowProblem? {
    if let missing = pairs.first(where: { !names.contains($0.column) }) {
      return .missingColumn(missing.column, key: missing.key, columns: names)
    }
    let row = JSONNode.object(JSONObject(names.map { ($0, JSONNode.string("")) }))
    do throws(RowProblem) { _ = try applied(to: row) } catch { return error }
    return nil
  }
}
