/// A page that stands alone: one HTML file, no script, nothing loaded from elsewhere, light or dark
/// as the reader's system is.
///
/// ```swift
/// var page = ReportPage(title: "Run", lead: "LoRA on SmolLM")
/// page.add("Loss", chart.svg, note: "Mean over the counted tokens.")
/// try page.html.write(toFile: "report.html", atomically: true, encoding: .utf8)
/// ```
///
/// It knows sections, not runs: numbers and text come ready.
package struct ReportPage: Sendable {
  private let title: String
  private let lead: String
  private var body = ""

  /// A page with a heading and a sentence under it.
  package init(title: String, lead: String) {
    self.title = title
    self.lead = lead
  }

  /// Adds a section.
  ///
  /// - Parameters:
  ///   - heading: plain text.
  ///   - content: HTML that this module made: a table, a chart, a list.
  ///   - note: plain text under it.
  package mutating func add(_ heading: String, _ content: String, note: String = "") {
    body += "<section>\n<h2>\(Markup.escaped(heading))</h2>\n\(content)"
    if !note.isEmpty { body += "<p class=\"note\">\(Markup.escaped(note))</p>\n" }
    body += "</section>\n"
  }

  /// Names with their values, as a list for ``add(_:_:note:)``.
  package static func list(_ facts: [(name: String, value: String)]) -> String {
    let rows = facts.map {
      "<div><dt>\(Markup.escaped($0.name))</dt><dd>\(Markup.escaped($0.value))</dd></div>\n"
    }
    return "<dl>\n\(rows.joined())</dl>\n"
  }

  /// Names with a share of a whole, as bars, as content for ``add(_:_:note:)``.
  package static func bars(_ rows: [(name: String, share: Double, value: String)]) -> String {
    let bars = rows.map {
      "<div><dt>\(Markup.escaped($0.name))</dt><dd><span class=\"bar\"><i style=\"width:"
        + Figure.significant(100 * $0.share, digits: 3)
        + "%\"></i></span> \(Markup.escaped($0.value))</dd></div>\n"
    }
    return "<dl class=\"bars\">\n\(bars.joined())</dl>\n"
  }

  /// What one types or runs, as content for ``add(_:_:note:)``.
  package static func code(_ text: String) -> String {
    "<pre><code>\(Markup.escaped(text))</code></pre>\n"
  }

  /// A few figures that the reader should see first, large, as content for ``add(_:_:note:)``.
  package static func tiles(_ figures: [(name: String, value: String, note: String)]) -> String {
    let tiles = figures.map {
      "<div><span>\(Markup.escaped($0.name))</span><b>\(Markup.escaped($0.value))</b>"
        + "<small>\(Markup.escaped($0.note))</small></div>\n"
    }
    return "<div class=\"tiles\">\n\(tiles.joined())</div>\n"
  }

  package var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>\(Markup.escaped(title))</title>
    <style>
    \(ReportStyle.css)</style>
    </head>
    <body>
    <main>
    <header>
    <h1>\(Markup.escaped(title))</h1>
    <p class="lead">\(Markup.escaped(lead))</p>
    </header>
    \(body)</main>
    </body>
    </html>

    """
  }
}
