/// The part of a chart that all kinds share: the drawing area, its axes, its lines.
struct ChartFrame {
  /// Size of the drawing in its own units; the page scales it.
  static let width = 1040.0
  static let height = 420.0

  let x: ChartAxis
  let y: ChartAxis
  /// The inner area.
  let left = 64.0
  let top = 30.0
  let bottom = ChartFrame.height - 52
  let right: Double

  /// - Parameter margin: room at the right for names.
  init(x: ChartAxis, y: ChartAxis, margin: Double) {
    self.x = x
    self.y = y
    right = ChartFrame.width - margin
  }

  func place(_ point: (x: Double, y: Double)) -> (x: Double, y: Double) {
    (
      left + x.position(point.x) * (right - left), bottom - y.position(point.y) * (bottom - top)
    )
  }

  /// The whole drawing around `content`.
  ///
  /// - Parameter summary: what a reader who does not see it is told.
  func svg(_ content: String, summary: String) -> String {
    """
    <div class="chart"><svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" \
    aria-label="\(Markup.escaped(summary))">
    \(grid)\(content)</svg></div>

    """
  }

  private var grid: String {
    var text = ""
    for tick in y.ticks {
      let row = place((0, tick)).y
      text += Self.path(from: (left, row), to: (right, row), "grid")
      text += Self.text(y.label(tick), at: (left - 8, row + 4), anchor: "end", "soft")
    }
    for tick in x.ticks {
      let column = place((tick, 0)).x
      text += Self.path(from: (column, bottom), to: (column, bottom + 5), "grid")
      text += Self.text(x.label(tick), at: (column, bottom + 20), anchor: "middle", "soft")
    }
    let unit = y.scale == .logarithmic ? "\(y.title) (logarithmic)" : y.title
    let across = x.scale == .logarithmic ? "\(x.title) (logarithmic)" : x.title
    text += Self.text(unit, at: (left, top - 14), anchor: "start", "soft")
    text += Self.text(across, at: (right, bottom + 42), anchor: "end", "soft")
    return text
  }

  static func path(
    from start: (x: Double, y: Double), to end: (x: Double, y: Double), _ style: String
  ) -> String {
    let c = Markup.coordinate
    return "<path class=\"\(style)\" d=\"M\(c(start.x)) \(c(start.y))L\(c(end.x)) \(c(end.y))\"/>\n"
  }

  static func text(
    _ text: String, at place: (x: Double, y: Double), anchor: String, _ style: String = ""
  ) -> String {
    let c = Markup.coordinate
    let kind = style.isEmpty ? "" : " class=\"\(style)\""
    return "<text x=\"\(c(place.x))\" y=\"\(c(place.y))\" text-anchor=\"\(anchor)\"\(kind)>"
      + "\(Markup.escaped(text))</text>\n"
  }

  /// A mark of its own for each of nine series: a form besides the colour.
  static func mark(_ series: Int, at place: (x: Double, y: Double)) -> String {
    let (x, y, c) = (place.x, place.y, Markup.coordinate)
    let style = "class=\"s\(series % ReportStyle.seriesCount)\""
    func polygon(_ points: [(Double, Double)]) -> String {
      let list = points.map { "\(c(x + $0.0)),\(c(y + $0.1))" }.joined(separator: " ")
      return "<polygon \(style) points=\"\(list)\"/>\n"
    }
    switch series % 4 {
    case 0: return "<circle \(style) cx=\"\(c(x))\" cy=\"\(c(y))\" r=\"5.5\"/>\n"
    case 1: return polygon([(-5, -5), (5, -5), (5, 5), (-5, 5)])
    case 2: return polygon([(0, -6.5), (6, 5), (-6, 5)])
    default: return polygon([(0, -7), (6, 0), (0, 7), (-6, 0)])
    }
  }

  /// Places for names, each as near as it can be to where it wants to be, `distance` apart or more.
  static func spread(_ wanted: [Double], distance: Double, in range: ClosedRange<Double>)
    -> [Double]
  {
    let order = wanted.indices.sorted { (wanted[$0], $0) < (wanted[$1], $1) }
    var places = wanted
    var lowest = range.lowerBound
    for index in order {
      places[index] = max(wanted[index], lowest)
      lowest = places[index] + distance
    }
    var highest = range.upperBound
    for index in order.reversed() {
      places[index] = min(places[index], highest)
      highest = places[index] - distance
    }
    return places
  }
}
