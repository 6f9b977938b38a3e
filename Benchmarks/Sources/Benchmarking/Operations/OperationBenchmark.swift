import JSON
import Kernels

/// Each operation against its bound, both measured by turns in one process.
package enum OperationBenchmark {
  private static let columns: [Section.Column] = [
    .init("operation", "operation"), .init("size", "size"), .init("precision", "precision"),
    .init("kernels", "kernels"), .init("seconds", "ms", .milliseconds),
    .init("gflops", "GFLOP/s", .fixed(1)), .init("gigabytes_per_second", "GB/s", .fixed(1)),
    .init("bound", "bound"), .init("share", "of bound", .percent), .init("spread", "±", .percent),
  ]

  /// Times every operation of jobs A and B, on every instruction set with vectors that runs here.
  ///
  /// - Parameters:
  ///   - threads: that work together.
  ///   - isQuick: shorter and fewer measurements.
  ///   - didMeasure: gets each row as it is made, as a table of one row.
  package static func run(
    threads: Int, isQuick: Bool, didMeasure: (Section) -> Void = { _ in }
  ) -> [Section] {
    [Job.a, Job.b].map { job in
      // As trained: A in micro-batches of 2, B in ones of 1.
      let rows = 512
      var section = Section(
        "operations_\(job.name)",
        title: "Operations of job \(job.name) (\(job.shape.name)), \(rows) tokens, \(threads) "
          + (threads == 1 ? "thread" : "threads"), columns: columns)
      for make in OperationList.timed(job, rows: rows, precisions: Precision.allCases) {
        let operation = make()
        for set in InstructionSet.available where set != .scalar {
          let row = row(operation, threads: threads, set: set, isQuick: isQuick)
          section.append(row, didMeasure: didMeasure)
        }
      }
      return section
    }
  }

  /// One operation's row: medians of measurements by turns with the bound's.
  private static func row(
    _ operation: any Operation, threads: Int, set: InstructionSet, isQuick: Bool
  ) -> Section.Row {
    let (repeats, leastSeconds) = isQuick ? (3, 0.01) : (5, 0.2)
    let compute = Peak.compute(threads: threads, instructionSet: set)
    operation.run(on: compute)
    var (times, shares): ([Double], [Double]) = ([], [])
    for _ in 0..<repeats {
      // A new one each time, since it remembers.
      let peak = Peak(threads: threads, leastSeconds: leastSeconds, instructionSet: set)
      let least = operation.bound.seconds(peak, operation.precision)
      operation.reset()
      let time = Stopwatch.secondsPerCall(leastSeconds: leastSeconds) {
        operation.run(on: compute)
      }
      times.append(time)
      shares.append(least / time)
    }
    let (time, share) = (Sample(times), Sample(shares))
    func rate(_ work: Double?, _ unit: Double) -> JSONValue {
      work.map { .double($0 / time.median / unit) } ?? .null
    }
    return [
      "operation": .string(operation.name), "size": .string(operation.size),
      "precision": .string(operation.precision.rawValue), "kernels": .string(set.rawValue),
      "seconds": .double(time.median), "spread": share.spreadValue,
      "gflops": rate(operation.bound.operations, 1e9),
      "gigabytes_per_second": rate(operation.bound.bytes, 1e9),
      "bound": .string(operation.bound.name), "share": .double(share.median),
    ]
  }

  /// Compares every operation's results with arithmetic in `Double`, one number at a time, on every
  /// instruction set that runs here; and their bits on one thread with those on three.
  ///
  /// - Returns: a table, and what is wrong, a line each.
  package static func check() -> (section: Section, failures: [String]) {
    var section = Section(
      "check", title: "Operations against arithmetic in Double, one number at a time",
      columns: [
        .init("operation", "operation"), .init("size", "size"), .init("precision", "precision"),
        .init("kernels", "kernels"), .init("outcome", "outcome"),
      ])
    let sets = InstructionSet.available
    var failures: [String] = []
    for make in OperationList.checked() {
      let operation = make()
      var wrong: [String] = []
      for set in sets {
        do {
          wrong += try check(operation, set).map { "\(set): \($0)" }
        } catch {
          wrong.append(error.description)
        }
      }
      section.append([
        "operation": .string(operation.name), "size": .string(operation.size),
        "precision": .string(operation.precision.rawValue),
        "kernels": .string(sets.map(\.rawValue).joined(separator: " ")),
        "outcome": .string(wrong.isEmpty ? "right" : wrong.joined(separator: "; ")),
      ])
      failures += wrong.map {
        "\(operation.name), \(operation.size), \(operation.precision.rawValue), \($0)"
      }
    }
    failures += PlainProduct.failures()
    return (section, failures)
  }

  private static func check(
    _ operation: any Operation, _ set: InstructionSet
  ) throws(UnavailableInstructionSet) -> [String] {
    var wrong: [String] = []
    var bits: [[UInt64]] = []
    for threads in [1, 3] {
      operation.reset()
      operation.run(on: try Compute(threads: threads, instructionSet: set))
      let results = operation.results()
      wrong += results.compactMap { result in
        result.failure.map { "\(threads) threads: \($0)" }
      }
      bits.append(results.flatMap { $0.values.map(\.bitPattern) })
    }
    if bits[0] != bits[1] { wrong.append("one thread and three differ in their last bits") }
    return wrong
  }
}

extension PlainProduct {
  /// What is wrong with the plain products themselves: a baseline that computes something else is none.
  static func failures() -> [String] {
    [false, true].compactMap { transposed in
      let shape = ProductShape(rows: 37, depth: 65, columns: 50, bTransposed: transposed)
      let plain = PlainProduct(shape, threads: 2)
      plain.run(1)
      let (a, b) = plain.operands(1)
      let expected = Reference.product(a, b, 37, 65, 50, bTransposed: transposed)
      return CheckedResult("result", plain.result(1), expected).failure.map {
        "plain product: \($0)"
      }
    }
  }
}
