import DataParallel
import Diagnostics
import Foundation
import Kernels

/// Where the time of the profiled steps went, part by part, over all ranks.
struct ProfileTable {
  /// A part in one direction.
  struct Row {
    let part: StepPart
    let direction: StepDirection
    /// Seconds a step by itself, mean of the ranks.
    let seconds: Double
    /// The same on the rank where it is longest.
    let slowest: Double
    /// Useful operations a second and rank; nil where there are none.
    let rate: Double?
    /// Share of the threads' time in which they computed.
    let busy: Double
  }

  /// The parts of a step, the longest first.
  let rows: [Row]
  /// What happened between steps in the whole run: times and seconds on rank 0.
  let between: [(part: StepPart, count: Int, seconds: Double)]
  /// Seconds of a step, mean of the ranks.
  let stepSeconds: Double
  private let worldSize: Int

  /// Adds up the ranks' profiles; called by all of them.
  init(_ profile: RunProfile, over communicator: Communicator) throws(MPIError) {
    let steps = Double(max(profile.stepCount, 1))
    let kinds = StepPart.allCases.flatMap { part in
      StepDirection.allCases.map { (part, $0) }
    }
    let profiler = profile.profiler
    let totals = kinds.map { profiler.total($0.0, $0.1) }
    let own = totals.map { Double($0.wall) * 1e-9 / steps }
    var mean = own
    var slowest = own
    var work = totals.map { Double($0.busy) * 1e-9 / steps }
    var room = own.map { $0 * Double(profiler.threads) }
    var operations = kinds.map { profile.operations[RunProfile.index($0.0, $0.1)] / steps }
    try communicator.allReduce(&mean, .sum)
    try communicator.allReduce(&slowest, .maximum)
    try communicator.allReduce(&work, .sum)
    try communicator.allReduce(&room, .sum)
    try communicator.allReduce(&operations, .sum)
    // The head does both directions in one pass.
    let head = { RunProfile.index(.head, $0) }
    operations[head(.none)] = operations[head(.forward)] + operations[head(.backward)]

    let ranks = communicator.worldSize
    worldSize = ranks
    let outside: Set<StepPart> = [.evaluation, .checkpoint]
    rows = kinds.indices.compactMap { index in
      let (part, direction) = kinds[index]
      guard mean[index] > 0 && !outside.contains(part) else { return nil }
      return Row(
        part: part, direction: direction, seconds: mean[index] / Double(ranks),
        slowest: slowest[index],
        rate: operations[index] > 0 && direction != .recomputation
          ? operations[index] / mean[index] : nil,
        busy: room[index] > 0 ? work[index] / room[index] : 0)
    }.sorted { $0.seconds > $1.seconds }
    stepSeconds = rows.reduce(0) { $0 + $1.seconds }
    between = outside.sorted { $0.rawValue < $1.rawValue }.compactMap { part in
      let total = profiler.total(part, .none)
      return total.count > 0
        ? (part: part, count: Int(total.count), seconds: Double(total.wall) * 1e-9) : nil
    }
  }

  /// The table as text, a heading above it.
  func text(steps: ClosedRange<Int>) -> String {
    let several = worldSize > 1
    var lines = [
      ["part", "", "share", "ms/step"] + (several ? ["slowest rank"] : [])
        + ["GFLOP/s", "threads busy"]
    ]
    func milliseconds(_ seconds: Double) -> String { String(format: "%.2f", seconds * 1e3) }
    for row in rows {
      lines.append(
        [
          row.part.name, row.direction.name,
          String(format: "%.1f %%", 100 * row.seconds / max(stepSeconds, .leastNormalMagnitude)),
          milliseconds(row.seconds),
        ] + (several ? [milliseconds(row.slowest)] : []) + [
          row.rate.map { String(format: "%.1f", $0 / 1e9) } ?? "",
          String(format: "%.0f %%", 100 * row.busy),
        ])
    }
    lines.append(
      ["step", "", "100.0 %", milliseconds(stepSeconds)] + (several ? [""] : []) + ["", ""])
    let ranks = several ? ", mean of \(worldSize) ranks" : ""
    var text = "profile of steps \(steps.lowerBound) to \(steps.upperBound)\(ranks)\n"
    text += ProfileTable.aligned(lines)
    for (part, count, seconds) in between {
      text +=
        "\nbetween steps: \(part.name) \(count) time\(count == 1 ? "" : "s"), "
        + String(format: "%.2f s", seconds)
    }
    return text
  }

  /// Columns of a common width, the first two set left, the others right.
  private static func aligned(_ lines: [[String]]) -> String {
    let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { cells in
      let padded = cells.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return column < 2 ? cell + space : space + cell
      }
      return "  " + padded.joined(separator: "  ")
    }.joined(separator: "\n")
  }
}
