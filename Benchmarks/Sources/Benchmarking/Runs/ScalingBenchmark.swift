import DataParallel
import JSON

/// What ranks gain, what their agreement costs, and how long a start takes.
package enum ScalingBenchmark {
  /// Job A on 1, 2 and 4 ranks of one thread, the same micro-batches dealt to more of them.
  ///
  /// A rank that has no core of its own cannot gain; perfect is therefore the smaller of ranks and
  /// cores.
  package static func ranks(precisions: [Precision], at workplace: Workplace) throws -> Section {
    var section = Section(
      "scaling",
      title:
        "Job \(workplace.jobA.name) on ranks of one thread, against one of the same micro-batch",
      columns: [
        .init("precision", "precision"), .init("ranks", "ranks", .fixed(0)),
        .init("micro_batch", "micro-batch", .fixed(0)),
        .init("tokens_per_second", "tokens/s", .fixed(1)), .init("speedup", "speed-up", .factor),
        .init("spread", "±", .percent), .init("perfect", "perfect", .factor),
        .init("share", "of perfect", .percent), .init("aim", "aim", .factor), .init("met", "met"),
      ])
    for precision in precisions {
      let task = try workplace.task(workplace.jobA, method: "lora", precision: precision)
      for (ranks, microBatch) in [(2, 2), (4, 1)] {
        section.measure(["precision": .string(precision.rawValue), "ranks": .int(ranks)]) {
          try row(task, ranks: ranks, microBatch: microBatch, at: workplace)
        }
      }
    }
    if workplace.cores < 4 {
      section.notes = [
        "4 ranks share \(workplace.cores) cores here: they show what crowding costs."
      ]
    }
    return section
  }

  private static func row(
    _ task: Task, ranks: Int, microBatch: Int, at workplace: Workplace
  ) throws -> Section.Row {
    var (alone, together, ratios): ([Double], [Double], [Double]) = ([], [], [])
    for number in 1...workplace.repeats {
      Progress.say("\(task.text), 1 and \(ranks) ranks: run \(number) of \(workplace.repeats)")
      let speeds = try [1, ranks].map { ranks in
        try workplace.program.run(
          task, Setting(ranks: ranks, threads: 1, microBatch: microBatch),
          workplace.steps(task.job)
        ).tokensPerSecond
      }
      alone.append(speeds[0])
      together.append(speeds[1])
      ratios.append(speeds[1] / speeds[0])
    }
    let (ratio, perfect) = (Sample(ratios), Double(min(ranks, workplace.cores)))
    let aim =
      ranks == 2 && workplace.cores >= 2 && !workplace.isTiny ? Aims.twoRanks : nil
    return [
      "precision": .string(task.precision.rawValue), "ranks": .int(ranks),
      "micro_batch": .int(microBatch), "tokens_per_second": .double(Sample(together).median),
      "one_rank_tokens_per_second": .double(Sample(alone).median), "runs": .int(ratios.count),
      "speedup": .double(ratio.median), "spread": ratio.spreadValue,
      "perfect": .double(perfect), "share": .double(ratio.median / perfect),
      "aim": .number(aim),
      "met": .flag(aim.map { ratio.median >= $0 }),
    ]
  }

  /// The exact reduction against a plain one in f32, as a share of a step of job A.
  ///
  /// - Parameter rankCommand: this program with the arguments that make it ``ReductionMeasurement``.
  package static func reduction(
    rankCommand: [String], at workplace: Workplace
  ) throws -> Section {
    var section = Section(
      "reduction",
      title:
        "Exact, order-free reduction against a plain f32 allreduce, job \(workplace.jobA.name)",
      columns: [
        .init("ranks", "ranks", .fixed(0)), .init("exact_seconds", "exact ms", .milliseconds),
        .init("plain_seconds", "plain ms", .milliseconds),
        .init("extra_seconds", "extra ms", .milliseconds),
        .init("step_seconds", "step ms", .milliseconds), .init("share", "of a step", .percent),
        .init("aim", "aim", .percent), .init("met", "met"),
      ])
    let task = try workplace.task(workplace.jobA, method: "lora", precision: .f32)
    for ranks in [2, 4] {
      let setting = Setting(ranks: ranks, threads: 1, microBatch: ranks == 2 ? 2 : 1)
      let step = try workplace.program.run(task, setting, workplace.steps(task.job)).secondsPerStep
      Progress.say("reduction over \(ranks) ranks")
      let output = try Subprocess.mpirun(
        ranks: ranks,
        rankCommand + ["--repeats", workplace.isQuick ? "5" : "40"]
          + (workplace.isTiny ? ["--tiny"] : [])
      ).run()
      let measured = try ReductionMeasurement(parsing: output.text)
      let extra = measured.exactSeconds - measured.plainSeconds
      // Where ranks outnumber cores they wait for each other, which says nothing of the cost.
      let hasAim = ranks <= workplace.cores && !workplace.isTiny
      let aim: JSONValue = hasAim ? .double(Aims.reductionShare) : .null
      section.append([
        "ranks": .int(ranks), "exact_seconds": .double(measured.exactSeconds),
        "plain_seconds": .double(measured.plainSeconds), "extra_seconds": .double(extra),
        "step_seconds": .double(step), "share": .double(extra / step), "aim": aim,
        "met": aim.isNull ? .null : .bool(extra / step <= Aims.reductionShare),
      ])
    }
    return section
  }

  /// From the start of the program to job B's first step, its files in the page cache.
  package static func start(precisions: [Precision], at workplace: Workplace) throws -> Section {
    var section = Section(
      "start",
      title:
        "Start of the program to the first step of job \(workplace.jobB.name), warm page cache",
      columns: [
        .init("precision", "precision"), .init("setting", "ranks x threads"),
        .init("seconds", "s", .fixed(2)), .init("spread", "±", .percent),
        .init("aim", "aim", .fixed(1)), .init("met", "met"),
      ])
    for precision in precisions {
      let task = try workplace.task(workplace.jobB, method: "lora", precision: precision)
      let setting = Setting(ranks: 1, threads: workplace.cores, microBatch: 1)
      // The first fills the page cache.
      _ = try workplace.program.secondsToFirstStep(task, setting)
      var times: [Double] = []
      for number in 1...workplace.repeats {
        Progress.say("\(task.text), start \(number) of \(workplace.repeats)")
        times.append(try workplace.program.secondsToFirstStep(task, setting))
      }
      let time = Sample(times)
      section.append([
        "precision": .string(precision.rawValue), "setting": .string(setting.text),
        "seconds": .double(time.median), "spread": time.spreadValue, "runs": .int(times.count),
        "aim": workplace.isTiny ? .null : .double(Aims.firstStepSeconds),
        "met": workplace.isTiny ? .null : .bool(time.median <= Aims.firstStepSeconds),
      ])
    }
    return section
  }
}
