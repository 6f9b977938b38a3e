/// Curves over a common axis, each named at its end.
///
/// ```swift
/// let chart = LineChart(
///   x: "step", y: "training loss", series: [.init(name: "lora", points: [(1, 5.1), (2, 4.0)])])
/// page.add("Loss", chart.svg)
/// ```
package struct LineChart {
  /// A curve.
  package struct Series {
    package let name: String
    /// Its colour, by number.
    package let style: Int
    /// Its points from left to right; those that are not finite leave a gap.
    package let points: [(x: Double, y: Double)]

    package init(name: String, style: Int, points: [(x: Double, y: Double)]) {
      self.name = name
      self.style = style
      self.points = points
    }
  }

  private let xTitle: String
  private let yTitle: String
  private let series: [Series]
  private let scale: ChartAxis.Scale?

  /// A chart of some curves.
  ///
  /// - Parameters:
  ///   - x: the horizontal axis's title.
  ///   - y: the vertical axis's title.
  ///   - series: the curves, each with its name.
  ///   - scale: of the vertical axis; nil chooses by the values.
  package init(x: String, y: String, series: [Series], scale: ChartAxis.Scale? = nil) {
    self.scale = scale
    xTitle = x
    yTitle = y
    self.series = series.filter { $0.points.contains { $0.y.isFinite } }
  }

  /// The chart as SVG inside a `div`; empty where no curve has a point.
  package var svg: String {
    if series.isEmpty { return "" }
    let points = series.flatMap(\.points)
    let frame = ChartFrame(
      x: ChartAxis(xTitle, values: points.map(\.x), scale: .linear, includesZero: true),
      y: ChartAxis(yTitle, values: points.map(\.y), scale: scale), margin: 150)
    let ends = series.map { curve in
      frame.place(curve.points.last { $0.y.isFinite } ?? (0, 0))
    }
    let rows = ChartFrame.spread(
      ends.map(\.y), distance: 17, in: frame.top...frame.bottom)
    var text = ""
    for (index, curve) in series.enumerated() {
      text += path(curve, frame)
      let (end, row) = (ends[index], rows[index])
      let label = frame.right + 26
      text += ChartFrame.path(from: (end.x + 8, end.y), to: (label - 6, row), "leader")
      text += ChartFrame.mark(curve.style, at: end)
      text += ChartFrame.text(curve.name, at: (label, row + 4), anchor: "start")
    }
    return frame.svg(
      text, summary: "\(yTitle) over \(xTitle) of \(series.map(\.name).joined(separator: ", "))")
  }

  private func path(_ curve: Series, _ frame: ChartFrame) -> String {
    var data = ""
    var isDown = false
    for point in curve.points {
      guard point.y.isFinite else {
        isDown = false
        continue
      }
      let place = frame.place(point)
      data +=
        "\(isDown ? "L" : "M")\(Markup.coordinate(place.x)) \(Markup.coordinate(place.y))"
      isDown = true
    }
    let style = curve.style % ReportStyle.seriesCount
    return "<path class=\"line s\(style)\" d=\"\(data)\"><title>\(Markup.escaped(curve.name))"
      + "</title></path>\n"
  }
}
