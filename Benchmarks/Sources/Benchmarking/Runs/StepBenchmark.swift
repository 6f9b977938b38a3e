import JSON
import Kernels

/// Whole steps of the program against the arithmetic that they cannot do without.
package enum StepBenchmark {
  /// The columns of its tables.
  private static let columns: [Section.Column] = [
    .init("job", "job"), .init("method", "method"), .init("precision", "precision"),
    .init("setting", "ranks x threads"), .init("tokens_per_second", "tokens/s", .fixed(1)),
    .init("spread", "±", .percent), .init("useful_gflops", "useful GFLOP/s", .fixed(0)),
    .init("plain_gflops", "plain GFLOP/s", .fixed(0)), .init("share", "share", .percent),
    .init("register_gflops", "register GFLOP/s", .fixed(0)),
    .init("register_share", "share", .percent),
    .init("aim", "aim", .percent), .init("met", "met"),
    .init("peak_memory_bytes", "GB a rank", .gigabytes),
  ]

  /// Jobs with LoRA in each precision.
  package static func jobs(
    _ jobs: [Job], precisions: [Precision], at workplace: Workplace
  ) throws -> Section {
    var section = Section(
      "steps", title: "Steps against plain products on the job's own shapes", columns: columns)
    for job in jobs {
      for precision in precisions {
        let task = try workplace.task(job, method: "lora", precision: precision)
        section.measure(task.row) {
          try row(task, try workplace.bestSetting(task), at: workplace)
        }
      }
    }
    section.notes = jobs.map { "\($0.name): \($0.summary)" }
    return section
  }

  /// Every method on job A, each in the layout that is best for LoRA.
  package static func methods(
    _ methods: [String], precisions: [Precision], at workplace: Workplace
  ) throws -> Section {
    var section = Section(
      "methods", title: "Every method on job \(workplace.jobA.name)", columns: columns)
    for precision in precisions {
      let lora = try workplace.task(workplace.jobA, method: "lora", precision: precision)
      let setting = try workplace.bestSetting(lora)
      for method in methods {
        let task = try workplace.task(workplace.jobA, method: method, precision: precision)
        section.measure(task.row) { try row(task, setting, at: workplace) }
      }
    }
    section.notes = [
      "Useful work leaves out what is a method's own but for LoRA's products; see README.md."
    ]
    return section
  }

  private static func row(
    _ task: Task, _ setting: Setting, at workplace: Workplace
  ) throws -> Section.Row {
    let tokens = task.job.lengths.reduce(0, +) / task.job.lengths.count
    var (speeds, useful, plain, shares): ([Double], [Double], [Double], [Double]) = (
      [], [], [], []
    )
    var (registers, registerShares): ([Double], [Double]) = ([], [])
    var memory = 0
    for number in 1...workplace.repeats {
      Progress.say("\(task.text): run \(number) of \(workplace.repeats)")
      // By turns, so that both meet the same machine.
      let peak = Peak(threads: setting.totalThreads, leastSeconds: workplace.peakSeconds)
      let register = peak.registerOperationsPerSecond(task.precision)
      // No library multiplies bf16 here: where the processor does, its registers are the bound.
      let bound =
        task.precision == .bf16 && Compute.hasNativeBFloat16
        ? register : peak.operationsPerSecond(task.job, rows: tokens * setting.microBatch)
      let figures = try workplace.program.run(task, setting, workplace.steps(task.job))
      let operations = figures.usefulOperationsPerSecond(task, workplace.steps(task.job))
      speeds.append(figures.tokensPerSecond)
      useful.append(operations)
      plain.append(bound)
      shares.append(operations / bound)
      registers.append(register)
      registerShares.append(operations / register)
      memory = max(memory, figures.peakMemoryBytes)
    }
    let (speed, share) = (Sample(speeds), Sample(shares).median)
    let aim = Aims.usefulShare(task)
    let figures: Section.Row = [
      "setting": .string(setting.text),
      "ranks": .int(setting.ranks), "threads": .int(setting.threads),
      "micro_batch": .int(setting.microBatch), "tokens_per_second": .double(speed.median),
      "spread": speed.spreadValue, "runs": .int(speeds.count),
      "useful_gflops": .double(Sample(useful).median / 1e9),
      "plain_gflops": .double(Sample(plain).median / 1e9), "share": .double(share),
      "register_gflops": .double(Sample(registers).median / 1e9),
      "register_share": .double(Sample(registerShares).median),
      "aim": .number(aim), "met": .flag(aim.map { share >= $0 }),
      "peak_memory_bytes": .int(memory),
    ]
    return task.row.merging(figures) { $1 }
  }
}
