import Reporting
import Testing

@Suite("Charts in text") struct TextChartTests {
  @Test("A falling line goes from the upper left to the lower right")
  func falling() {
    let lines = TextChart(title: "loss", points: [(1, 2), (2, .nan), (11, 1)])
      .lines(width: 10, height: 2)
    #expect(lines.count == 4)
    #expect(lines[0] == "       loss")
    // U+2800 is the pattern without a dot.
    #expect(lines[1].hasPrefix("2.000 ┤") && lines[1].last == "\u{2800}")
    #expect(lines[2].hasPrefix("1.000 ┤\u{2800}") && lines[2].last != "\u{2800}")
    #expect(lines[3] == "       1       11")
  }

  @Test("A constant has a line, and one point none")
  func degenerate() {
    #expect(TextChart(title: "x", points: [(1, 3), (2, 3)]).lines(width: 10, height: 2).count == 4)
    #expect(TextChart(title: "x", points: [(1, 3)]).lines().isEmpty)
    #expect(TextChart(title: "x", points: [(1, 3), (1, 4)]).lines().isEmpty)
  }
}
