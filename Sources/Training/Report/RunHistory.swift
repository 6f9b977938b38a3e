import Files
import Foundation
import JSON

/// What a run left in its output directory, as figures.
///
/// It reads `metrics.jsonl` of a run that goes on, ended or was killed; lines that are not whole are
/// passed over.
public struct RunHistory {
  /// A logged step.
  public struct Step: Sendable {
    /// Its number, from 1.
    public let number: Int
    /// By the names of `metrics.jsonl`.
    let values: [String: Double]

    func value(_ name: String) -> Double? { values[name] }
  }

  /// The first line of the last start.
  public private(set) var run: [String: JSONValue] = [:]
  /// How often the run was started.
  public private(set) var startCount = 0
  /// The logged steps, in order; of a step that was taken again the last one.
  public private(set) var steps: [Step] = []
  /// The evaluations, likewise.
  public private(set) var evaluations: [Step] = []
  /// Answers to a sample prompt.
  public struct Sample: Sendable {
    /// The prompt.
    public let prompt: String
    /// Answers with the step after which they were given, in order.
    public fileprivate(set) var answers: [(step: Int, text: String)] = []
  }

  /// The sample prompts, in the order of their file.
  public private(set) var samples: [Sample] = []
  /// The last line, where the run came to its end.
  public private(set) var end: [String: JSONValue] = [:]
  /// Other events: their name and the line.
  public private(set) var events: [(name: String, line: [String: JSONValue])] = []

  /// Reads what `metrics.jsonl` says.
  public init(metrics text: String) {
    var steps: [Int: Step] = [:]
    var evaluations: [Int: Step] = [:]
    var answers: [Int: (prompt: String, texts: [Int: String])] = [:]
    for line in text.split(separator: "\n") {
      guard let line = (try? JSONValue(parsing: Data(line.utf8)))?.object,
        let event = line["event"]?.string
      else { continue }
      let step = line["step"]?.int
      switch (event, step) {
      case ("run", _):
        run = line
        end = [:]
        startCount += 1
      case ("end", _): end = line
      case ("step", let step?): steps[step] = Step(number: step, values: Self.numbers(line))
      case ("eval", let step?): evaluations[step] = Step(number: step, values: Self.numbers(line))
      case ("sample", let step?):
        let index = line["index"]?.int ?? 0
        answers[index, default: (line["prompt"]?.string ?? "", [:])].texts[step] =
          line["answer"]?.string
      default: events.append((event, line))
      }
    }
    samples = answers.sorted { $0.key < $1.key }.map { _, value in
      Sample(
        prompt: value.prompt,
        answers: value.texts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }
    self.steps = steps.values.sorted { $0.number < $1.number }
    self.evaluations = evaluations.values.sorted { $0.number < $1.number }
  }

  /// Reads the directory of a run; nil where it holds no metrics.
  ///
  /// - Throws: `FileError` where they cannot be read.
  public init?(directory: String) throws {
    let path = directory + "/metrics.jsonl"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    self.init(metrics: String(decoding: try InputFile.bytes(of: path), as: UTF8.self))
  }

  private static func numbers(_ line: [String: JSONValue]) -> [String: Double] {
    line.compactMapValues(\.double)
  }

  /// A curve over the steps, thinned to at most `limit` points by means of neighbours.
  func curve(_ name: String, limit: Int = 600) -> [(x: Double, y: Double)] {
    Self.thinned(
      steps.compactMap { step in step.value(name).map { (Double(step.number), $0) } }, limit)
  }

  /// The same over the evaluations.
  func evaluationCurve(_ name: String, limit: Int = 600) -> [(x: Double, y: Double)] {
    Self.thinned(
      evaluations.compactMap { step in step.value(name).map { (Double(step.number), $0) } }, limit)
  }

  private static func thinned(
    _ points: [(x: Double, y: Double)], _ limit: Int
  ) -> [(x: Double, y: Double)] {
    guard points.count > limit else { return points }
    let size = (points.count + limit - 1) / limit
    return stride(from: 0, to: points.count, by: size).map { start in
      let group = points[start..<min(start + size, points.count)]
      let count = Double(group.count)
      return (group.map(\.x).reduce(0, +) / count, group.map(\.y).reduce(0, +) / count)
    }
  }
}
