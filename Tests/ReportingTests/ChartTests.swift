import Foundation
import Reporting
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite("Charts and pages") struct ChartTests {
  /// Names that markup would take for its own.
  static let name = "<b a=\"1\">&'\u{1}"

  private func page() -> ReportPage {
    var page = ReportPage(title: Self.name, lead: Self.name)
    page.add(
      Self.name,
      PointChart(
        x: Self.name, y: "y",
        points: [
          .init(name: Self.name, style: 0, x: 10, y: 0.5),
          .init(name: "b", style: 10, x: 1e6, y: 40), .init(name: "c", style: 2, x: .nan, y: 1),
        ], reference: (Self.name, 50)
      ).svg, note: Self.name)
    page.add(
      "curves",
      LineChart(
        x: "step", y: Self.name,
        series: [
          .init(name: Self.name, style: 1, points: [(0, 3), (1, .nan), (2, 1)]),
          .init(name: "empty", style: 2, points: []),
          .init(name: "never finite", style: 3, points: [(0, .infinity)]),
        ]
      ).svg)
    page.add("list", ReportPage.list([(Self.name, Self.name)]))
    return page
  }

  @Test("A page is well-formed whatever the names are, and loads nothing")
  func wellFormed() throws {
    let html = page().html
    // What HTML leaves open, XML wants closed; the rest is XML already.
    let xml = html.replacing("<!DOCTYPE html>\n", with: "")
      .replacing(/<meta ([^>]*)>/) { "<meta \($0.1)/>" }
    let parser = XMLParser(data: Data(xml.utf8))
    let reader = Reader()
    parser.delegate = reader
    #expect(parser.parse(), "\(String(describing: parser.parserError)) in \(xml)")
    #expect(!reader.elements.contains("b") && !reader.elements.contains("script"))
    #expect(reader.text.contains("<b a=\"1\">&'\u{FFFD}"))
    #expect(reader.elements.filter { $0 == "svg" }.count == 2)
    for word in ["http:", "https:", "url(", "@import", "src=", "href="] {
      #expect(!html.contains(word), "\(word)")
    }
    #expect(html.contains("prefers-color-scheme: dark"))
  }

  @Test("Points lie where their values say, and those without a value are left out")
  func positions() throws {
    let chart = PointChart(
      x: "x", y: "y",
      points: [
        .init(name: "low", style: 0, x: 1, y: 0), .init(name: "high", style: 0, x: 3, y: 10),
        .init(name: "none", style: 0, x: 2, y: .nan),
      ]
    ).svg
    let places = chart.matches(of: /<circle class="s0" cx="([0-9.]+)" cy="([0-9.]+)"/).map {
      (x: Double($0.1) ?? 0, y: Double($0.2) ?? 0)
    }
    try #require(places.count == 2)
    #expect(places[0].x < places[1].x && places[0].y > places[1].y)
    #expect(!chart.contains("none"))
    // No name covers another.
    #expect(chart.contains(">low<") && chart.contains(">high<"))
  }

  @Test(
    "Ticks lie on the axis, are few enough to read, and no two are written alike",
    arguments: [
      [0.0, 1], [0, 7.3], [-2, 2], [1e-5, 3e-5], [5, 5], [0, 0], [1e9, 3e9], [1, 1e6], [0.9, 40],
      [3e-4, 2.1], [3.571, 3.574], [9_990, 10_020], [1, 47],
    ])
  func ticks(values: [Double]) throws {
    let ticks = ChartAxis("v", values: values).ticks
    #expect((2...12).contains(ticks.count), "\(ticks)")
    #expect(ticks == ticks.sorted())
    let low = try #require(values.min())
    let chart = PointChart(
      x: "x", y: "y",
      points: values.map { .init(name: "p", style: 0, x: 1, y: $0) } + [
        .init(name: "p", style: 0, x: 2, y: low)
      ]
    ).svg
    let labels = chart.matches(of: /text-anchor="end" class="soft">([^<]*)</).map { $0.1 }
    #expect(labels.count >= 2 && Set(labels).count == labels.count, "\(labels)")
  }

  @Test("A chart without a point is empty, not a frame around nothing")
  func empty() {
    #expect(PointChart(x: "x", y: "y", points: []).svg.isEmpty)
    #expect(LineChart(x: "x", y: "y", series: []).svg.isEmpty)
  }

  /// Collects what a parser finds.
  private final class Reader: NSObject, XMLParserDelegate {
    var elements: [String] = []
    var text = ""

    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
      qualifiedName: String?, attributes: [String: String]
    ) { elements.append(name) }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
  }
}
