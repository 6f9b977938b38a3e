/// Named points: one figure against another.
package struct PointChart {
  /// A point.
  package struct Point {
    package let name: String
    /// Its colour and mark, by number.
    package let style: Int
    package let x: Double
    package let y: Double

    package init(name: String, style: Int, x: Double, y: Double) {
      self.name = name
      self.style = style
      self.x = x
      self.y = y
    }
  }

  private let xTitle: String
  private let yTitle: String
  private let points: [Point]
  private let reference: (name: String, y: Double)?

  /// A chart of some points; those that are not finite are left out.
  ///
  /// - Parameters:
  ///   - x: the horizontal axis's title.
  ///   - y: the vertical axis's title.
  ///   - points: each with its name.
  ///   - reference: a level that all are compared with, as a broken line.
  package init(x: String, y: String, points: [Point], reference: (name: String, y: Double)? = nil) {
    xTitle = x
    yTitle = y
    self.points = points.filter { $0.x.isFinite && $0.y.isFinite }
    self.reference = reference.flatMap { $0.y.isFinite ? $0 : nil }
  }

  /// The chart as SVG inside a `div`; empty where there is no point.
  package var svg: String {
    if points.isEmpty { return "" }
    let frame = ChartFrame(
      x: ChartAxis(xTitle, values: points.map(\.x)),
      y: ChartAxis(yTitle, values: points.map(\.y) + [reference?.y].compactMap(\.self)),
      margin: 60)
    var text = ""
    if let reference {
      let row = frame.place((points[0].x, reference.y)).y
      text += ChartFrame.path(from: (frame.left, row), to: (frame.right, row), "reference")
      text += ChartFrame.text(reference.name, at: (frame.right, row - 6), anchor: "end", "soft")
    }
    let places = points.map { frame.place(($0.x, $0.y)) }
    for (point, place) in zip(points, places) {
      text += ChartFrame.mark(point.style, at: place)
    }
    for label in labels(places, frame) {
      if let leader = label.leader {
        text += ChartFrame.path(from: leader, to: label.place, "leader")
      }
      text += ChartFrame.text(
        label.name, at: (label.place.x, label.place.y + 4), anchor: label.anchor)
    }
    return frame.svg(
      text, summary: "\(yTitle) against \(xTitle) of \(points.map(\.name).joined(separator: ", "))")
  }

  /// A name beside its point.
  private struct Label {
    let name: String
    let place: (x: Double, y: Double)
    let anchor: String
    let leader: (x: Double, y: Double)?
  }

  /// Names to the right of their points, or to the left, or moved up or down with a line back: the
  /// first place in which a name covers neither a mark nor another name.
  private func labels(_ places: [(x: Double, y: Double)], _ frame: ChartFrame) -> [Label] {
    var taken = places.map { Box($0.x - 7, $0.y - 7, width: 14, height: 14) }
    var labels: [Label] = []
    for (point, place) in zip(points, places) {
      // Letters of 13 units are about 7 wide.
      let width = Double(point.name.count) * 7.2 + 4
      var chosen: (Label, Box)?
      search: for shift in [0.0, -16, 16, -32, 32, -48, 48, -64, 64, -80, 80] {
        for isRight in [true, false] {
          let x = place.x + (isRight ? 12 : -12)
          let y = min(max(place.y + shift, frame.top), frame.bottom - 2)
          let box = Box(isRight ? x : x - width, y - 8, width: width, height: 16)
          let fits = box.left >= frame.left && box.right <= ChartFrame.width
          let label = Label(
            name: point.name, place: (x, y), anchor: isRight ? "start" : "end",
            leader: shift == 0 ? nil : (place.x + (isRight ? 5 : -5), place.y))
          if chosen == nil { chosen = (label, box) }
          if fits && !taken.contains(where: box.overlaps) {
            chosen = (label, box)
            break search
          }
        }
      }
      guard let (label, box) = chosen else { continue }
      labels.append(label)
      taken.append(box)
    }
    return labels
  }

  private struct Box {
    let left: Double
    let top: Double
    let right: Double
    let bottom: Double

    init(_ left: Double, _ top: Double, width: Double, height: Double) {
      self.left = left
      self.top = top
      right = left + width
      bottom = top + height
    }

    func overlaps(_ other: Box) -> Bool {
      left < other.right && other.left < right && top < other.bottom && other.top < bottom
    }
  }
}
