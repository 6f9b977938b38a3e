import JSON

/// Whole steps of the program from a quantised base against the same steps from bf16, by turns.
///
/// ``BaseBenchmark`` has what a product loses; a step has much besides that is the same for both.
package enum BaseStepBenchmark {
  private static let columns: [Section.Column] = [
    .init("job", "job"), .init("base", "base"), .init("precision", "precision"),
    .init("setting", "ranks x threads"),
    .init("plain_tokens_per_second", "bf16's tokens/s", .fixed(1)),
    .init("tokens_per_second", "tokens/s", .fixed(1)), .init("ratio", "of bf16", .percent),
    .init("spread", "±", .percent), .init("aim", "aim", .percent), .init("met", "met"),
    .init("peak_memory_bytes", "GB a rank", .gigabytes),
  ]

  /// Jobs with LoRA from each base.
  ///
  /// - Parameter bases: what `--quantize-base` takes, or paths of GGUF files of the job's model.
  package static func run(
    _ jobs: [Job], bases: [String], precisions: [Precision], at workplace: Workplace
  ) throws -> Section {
    var section = Section(
      "base_steps", title: "Steps from quantised bases against steps from bf16, by turns",
      columns: columns)
    for job in jobs {
      for precision in precisions {
        let plain = try workplace.task(job, method: "lora", precision: precision)
        let setting = try workplace.bestSetting(plain)
        for base in bases {
          section.measure(plain.row.merging(["base": .string(base)]) { $1 }) {
            try row(plain, base, setting, at: workplace)
          }
        }
      }
    }
    section.notes = jobs.map { "\($0.name): \($0.summary)" }
    return section
  }

  private static func row(
    _ plain: Task, _ base: String, _ setting: Setting, at workplace: Workplace
  ) throws -> Section.Row {
    var quantized = plain
    quantized.base = base
    let steps = workplace.steps(plain.job)
    var (plainRuns, runs): ([RunFigures], [RunFigures]) = ([], [])
    for number in 1...workplace.repeats {
      Progress.say("\(quantized.text): run \(number) of \(workplace.repeats), by turns")
      // Who comes first changes, since a machine's speed does while it is measured.
      for isPlain in number % 2 == 1 ? [true, false] : [false, true] {
        if isPlain {
          plainRuns.append(try workplace.program.run(plain, setting, steps))
        } else {
          runs.append(try workplace.program.run(quantized, setting, steps))
        }
      }
    }
    let ratio = Sample(zip(runs, plainRuns).map { $0.tokensPerSecond / $1.tokensPerSecond })
    let tokens = plain.job.lengths[0] * setting.microBatch
    let aim = tokens >= 2048 ? 0.98 : 0.95
    let figures: Section.Row = [
      "base": .string(base), "setting": .string(setting.text), "runs": .int(runs.count),
      "plain_tokens_per_second": .double(Sample(plainRuns.map(\.tokensPerSecond)).median),
      "tokens_per_second": .double(Sample(runs.map(\.tokensPerSecond)).median),
      "ratio": .double(ratio.median), "spread": ratio.spreadValue, "aim": .double(aim),
      "met": .bool(ratio.median >= aim),
      "peak_memory_bytes": .int(runs.map(\.peakMemoryBytes).max() ?? 0),
    ]
    return plain.row.merging(figures) { $1 }
  }
}
