import Foundation
import JSON
import Reporting

/// A table of measurements, for readers and for programs.
///
/// It knows columns and how their values are written, not what they mean.
package struct Section: Sendable {
  /// How a column's values are written.
  package enum Style: Sendable {
    /// As it is.
    case text
    /// With so many digits behind the point.
    case fixed(Int)
    /// A share of 1, in per cent.
    case percent
    /// A factor: `2.10x`.
    case factor
    /// Bytes, in gigabytes.
    case gigabytes
    /// Seconds, in milliseconds.
    case milliseconds
  }

  /// What a column is called, and how its values are written.
  package struct Column: Sendable {
    /// The key of its values.
    package let key: String
    package let title: String
    /// How its values are written.
    package let style: Style

    package init(_ key: String, _ title: String, _ style: Style = .text) {
      self.key = key
      self.title = title
      self.style = style
    }
  }

  /// A row: values by the keys of columns.
  ///
  /// Other keys are for programs alone.
  package typealias Row = [String: JSONValue]

  /// The key of the section among others.
  package let name: String
  /// A line above the table.
  package let title: String
  /// The columns that readers see.
  package let columns: [Column]
  package private(set) var rows: [Row] = []
  /// Sentences below the table.
  package var notes: [String] = []
  /// What could not be measured, and why.
  package private(set) var failures: [String] = []

  package init(_ name: String, title: String, columns: [Column]) {
    self.name = name
    self.title = title
    self.columns = columns
  }

  package mutating func append(_ row: Row) { rows.append(row) }

  /// Adds a row and gives it to `didMeasure` as a table of one row.
  mutating func append(_ row: Row, didMeasure: (Section) -> Void) {
    append(row)
    var single = Section(name, title: title, columns: columns)
    single.append(row)
    didMeasure(single)
  }

  /// Adds the row that `body` measures; where that fails, one that says so, and the rest goes on.
  ///
  /// - Parameter known: what the row is about.
  mutating func measure(_ known: Row, _ body: () throws -> Row) {
    do {
      append(try body())
    } catch {
      let words = columns.compactMap { known[$0.key].map { Section.shown($0, .text) } }
      Progress.say("\(words.joined(separator: ", ")): \(error)")
      failures.append("\(words.joined(separator: ", ")): \(error)")
      append(known.merging(["failure": .string("\(error)")]) { $1 })
    }
  }

  /// The rows for programs.
  package var json: JSONValue { .array(rows.map { .object($0) }) }

  /// Title, table and notes.
  package var text: String {
    var table = ReportTable(
      columns: columns.map { column in
        if case .text = column.style { return .init(column.key, column.title) }
        return .init(column.key, column.title, isNumeric: true)
      })
    for row in rows {
      table.append(
        columns.map { column in
          guard let value = row[column.key], !value.isNull else { return .none }
          return .init(Section.shown(value, column.style))
        })
    }
    let below = (notes + failures.map { "NOT MEASURED: \($0)" }).map { "\($0)\n" }.joined()
    return "\(title)\n\n\(table.plainText)\(below.isEmpty ? "" : "\n" + below)"
  }

  /// The rows alone, a line each, without heads or alignment: what is shown while rows are made.
  package var rowText: String {
    rows.map { row in
      columns.compactMap { column in
        guard let value = row[column.key], !value.isNull else { return nil }
        if case .text = column.style { return Section.shown(value, column.style) }
        return "\(Section.shown(value, column.style)) \(column.title)"
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }

  private static func shown(_ value: JSONValue, _ style: Style) -> String {
    if let flag = value.bool { return flag ? "yes" : "no" }
    if case .text = style { return value.string ?? value.text() }
    guard let number = value.double else { return value.string ?? value.text() }
    return switch style {
    case .text: value.text()
    case .fixed(let digits): String(format: "%.\(digits)f", number)
    case .percent: String(format: "%.1f %%", 100 * number)
    case .factor: String(format: "%.2fx", number)
    case .gigabytes: String(format: "%.2f", number / 1e9)
    case .milliseconds: String(format: "%.3f", 1000 * number)
    }
  }
}

extension JSONValue {
  /// A number, or null where there is none.
  static func number(_ value: Double?) -> JSONValue {
    if let value { .double(value) } else { .null }
  }

  /// A truth value, or null where there is none.
  static func flag(_ value: Bool?) -> JSONValue {
    if let value { .bool(value) } else { .null }
  }
}
