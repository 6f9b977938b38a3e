/// A curve for a terminal, in dots of Braille patterns.
///
/// ```swift
/// print(TextChart(title: "loss", points: [(1, 5.1), (2, 4.0)]).lines().joined(separator: "\n"))
/// ```
package struct TextChart {
  private let title: String
  private let points: [(x: Double, y: Double)]

  /// A chart of one curve; points that are not finite are left out.
  ///
  /// - Parameter title: plain text above it.
  /// - Parameter points: from left to right.
  package init(title: String, points: [(x: Double, y: Double)]) {
    self.title = title
    self.points = points.filter { $0.x.isFinite && $0.y.isFinite }
  }

  /// The chart's lines, without line breaks; none where there are not two points.
  ///
  /// - Parameters:
  ///   - width: characters, the axis not counted; at least 10.
  ///   - height: lines of the drawing; at least 2.
  package func lines(width: Int = 60, height: Int = 8) -> [String] {
    let (columns, rows) = (max(width, 10) * 2, max(height, 2) * 4)
    guard points.count > 1, let first = points.first?.x, let last = points.last?.x, first < last
    else { return [] }
    let low = points.map(\.y).min() ?? 0
    let high = points.map(\.y).max() ?? 0
    let span = high > low ? high - low : 1
    var cells = [[UInt8]](repeating: [UInt8](repeating: 0, count: columns / 2), count: rows / 4)
    func place(_ point: (x: Double, y: Double)) -> (Int, Int) {
      let column = Int((point.x - first) / (last - first) * Double(columns - 1) + 0.5)
      let row = Int((high - point.y) / span * Double(rows - 1) + 0.5)
      return (min(max(column, 0), columns - 1), min(max(row, 0), rows - 1))
    }
    func set(_ column: Int, _ row: Int) {
      cells[row / 4][column / 2] |= Self.dots[column % 2][row % 4]
    }
    var before = place(points[0])
    set(before.0, before.1)
    for point in points.dropFirst() {
      // Every column between two points gets its dots.
      let after = place(point)
      let steps = max(abs(after.0 - before.0), abs(after.1 - before.1))
      for step in 0...max(steps, 1) {
        let part = Double(step) / Double(max(steps, 1))
        set(
          before.0 + Int((Double(after.0 - before.0) * part).rounded()),
          before.1 + Int((Double(after.1 - before.1) * part).rounded()))
      }
      before = after
    }
    let labels = [Figure.significant(high, digits: 4), Figure.significant(low, digits: 4)]
    let margin = labels.map(\.count).max() ?? 0
    func padded(_ text: String) -> String {
      String(repeating: " ", count: margin - text.count) + text
    }
    var lines = [padded("") + "  " + title]
    for (row, dots) in cells.enumerated() {
      let label = row == 0 ? labels[0] : row == cells.count - 1 ? labels[1] : ""
      let text = dots.map { String(Character(UnicodeScalar(0x2800 + UInt32($0)) ?? " ")) }.joined()
      lines.append(padded(label) + " ┤" + text)
    }
    let ends = (Figure.trimmed(first), Figure.trimmed(last))
    let gap = max(1, columns / 2 - ends.0.count - ends.1.count)
    lines.append(padded("") + "  " + ends.0 + String(repeating: " ", count: gap) + ends.1)
    return lines
  }

  /// Bits of a pattern's dots, by column and row (Unicode 16, Braille Patterns).
  private static let dots: [[UInt8]] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]]
}
